"""Configurations for tests: composed once, then changed by dotted keys without composing again."""

from collections.abc import Iterator
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
    found: Config = _set(config, {tuple(key.split(".")): value for key, value in values.items()})
    return found


def _set(spec: Any, values: dict[tuple[str, ...], Any]) -> Any:
    """Each part is copied once, whatever changes in it; of a whole and something in it, the later is set in the earlier."""
    found: dict[str, Any] = {}
    for head, below in _by_head(values):
        part = found.get(head, getattr(spec, head))
        found[head] = below[()] if () in below else _set(part, below)
    return replace(spec, **found)


def _by_head(values: dict[tuple[str, ...], Any]) -> Iterator[tuple[str, dict[tuple[str, ...], Any]]]:
    """What is set below each first word; what sets the whole stands alone, in its place among the others."""
    below: dict[str, dict[tuple[str, ...], Any]] = {}
    for (head, *rest), value in values.items():
        if not rest:
            yield head, {(): value}
            below.pop(head, None)
        else:
            below.setdefault(head, {})[tuple(rest)] = value
    yield from below.items()


def compiled(**values: Any) -> Plan:
    """The strategy with some keys changed; `degrees` as in `parallel=`."""
    degrees = values.pop("degrees", "ep16_tp4_pp4_dp4")
    changes = {key.replace("__", "."): value for key, value in values.items()}
    return compile_config(changed(composed(), {**changes, "parallel": degrees_of(degrees)}))
