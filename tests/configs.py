"""Configurations for tests: composed once, then changed by dotted keys without composing again."""

from dataclasses import replace
from functools import cache
from typing import Any

from compiler.config.load import load_config
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.specs.config import Config
from tests.command import degrees_of


@cache
def composed(*overrides: str) -> Config:
    """What the command line would make of these overrides, with no launch target unless one is named."""
    chosen = () if any(item.startswith("scheduler=") for item in overrides) else ("scheduler=[]",)
    return load_config([*chosen, *overrides])


def changed(config: Config, values: dict[str, Any]) -> Config:
    """A copy with some dotted keys set, as in {"parallel.tp": 8}."""
    for key, value in values.items():
        config = _set(config, key.split("."), value)
    return config


def _set(spec: Any, path: list[str], value: Any) -> Any:
    head, *rest = path
    return replace(spec, **{head: _set(getattr(spec, head), rest, value) if rest else value})


def compiled(**values: Any) -> Plan:
    """The strategy with some keys changed; `degrees` as in `parallel=`."""
    degrees = values.pop("degrees", "ep16_tp4_pp4_dp4")
    changes = {key.replace("__", "."): value for key, value in values.items()}
    return compile_config(changed(composed(), {**changes, "parallel": degrees_of(degrees)}))
