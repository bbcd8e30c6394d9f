"""One key at another value, as an override would set it: checked the same way, and without composing again."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

from omegaconf import OmegaConf

from compiler.config.load import bad_values, with_precision
from compiler.config.messages import translated
from compiler.config.schema import writable
from compiler.errors import ConfigError, short
from compiler.specs.config import Config


def valued(config: Config, key: str, value: Any) -> Any:
    """The value of `key` that the override `key=value` makes of a configuration. Raises ConfigError where it would be refused."""
    group = key.partition(".")[0]
    if isinstance(found(config, key), (list, tuple)) and not isinstance(value, (list, tuple)):
        raise ConfigError.of(f"{key}={short(value)} is not a list", f"write {key}=[A,B]")
    with translated():
        node = OmegaConf.create()
        OmegaConf.update(node, group, writable(getattr(config, group)))
        OmegaConf.update(node, key, value, merge=False)
        spec: Any = OmegaConf.to_object(node[group])
    changed = replace(config, **{group: spec})
    changed = replace(changed, workload=with_precision(changed.workload, changed.model))
    if bad := bad_values(changed):
        raise ConfigError(bad)
    return found(changed, key)


def found(config: Config, key: str) -> Any:
    """What is at a dotted key."""
    return reduce(getattr, key.split("."), config)
