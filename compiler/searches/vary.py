"""What is tried beside the degrees: keys, and their values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from compiler.errors import ConfigError, short
from compiler.searches.space import VPP
from compiler.specs.config import Config
from compiler.specs.fields import rule_of

TRAINING = (VPP, "workload.schedule", "workload.micro_batch_size", "workload.recompute")
SERVING = ("workload.global_batch_size",)

MICRO_BATCHES = (1, 2, 4, 8)
"""Sequences of a micro-batch."""

BATCHES = (*(1 << power for power in range(12)), *(3 << power for power in range(3, 10)))
"""Clients of an instance: powers of two, and the middles between them from 24 on."""

SYNONYMS = {"workload.schedule": {"interleaved"}}
"""Words for what another word says too: 1f1b interleaves wherever there are several chunks."""


def varied(config: Config, written: Collection[str]) -> dict[str, Sequence[Any]]:
    """Values of each key; one that is written on the command line stays as it is, unless `search.vary` names it too. Raises ConfigError."""
    asked = config.search.vary
    if asked is None:
        keys = TRAINING if config.workload.train else SERVING
        return {
            key: values(config, key) for key in keys if key not in written and key.rpartition(".")[2] not in written
        }
    if isinstance(asked, str):
        asked = [asked]
    if isinstance(asked, Mapping):
        return {str(key): _given(config, str(key), found) for key, found in asked.items()}
    return {str(key): values(config, str(key)) for key in asked}


def values(config: Config, key: str) -> Sequence[Any]:
    """What a key may be, those of its field. Raises ConfigError."""
    own = current(config, key)
    if key == VPP:
        return tuple(range(1, config.model.num_hidden_layers + 3))
    if key == "workload.micro_batch_size":
        batch = config.workload.global_batch_size
        return tuple(sorted({own, *(size for size in MICRO_BATCHES if size <= batch)}))
    if key == "workload.global_batch_size":
        return tuple(sorted({own, *BATCHES})) if not config.workload.train else _unknown(key)
    if isinstance(own, bool):
        return (False, True)
    found = _options(config, key)
    return tuple(dict.fromkeys([*found, own] if own in SYNONYMS.get(key, ()) else found)) or _unknown(key)


def _options(config: Config, key: str) -> Iterator[Any]:
    """The words that a field takes, or few numbers."""
    parent, _, name = key.rpartition(".")
    node = current(config, parent)
    for item in fields(node):
        if item.name == name:
            rule = rule_of(item)
            yield from (word for word in rule.options if word not in SYNONYMS.get(key, ()))
            if not rule.options and rule.least is not None and rule.greatest is not None and rule.greatest < 8:
                yield from range(int(rule.least), int(rule.greatest) + 1)


def _unknown(key: str) -> Sequence[Any]:
    raise ConfigError.of(
        f"search.vary names {key}, and has no values to try", f"write them, as in 'search.vary={{{key}: [1, 2, 4]}}'"
    )


def _given(config: Config, key: str, found: Any) -> Sequence[Any]:
    current(config, key)
    if isinstance(found, (list, tuple)) and found:
        return tuple(found)
    raise ConfigError.of(f"search.vary.{key}={short(found)} is no list of values", f"write {key}: [A, B]")


def current(config: Config, key: str) -> Any:
    """The value of a dotted key. Raises ConfigError for none."""
    node: Any = config
    for name in key.split(".") if key else ():
        if not is_dataclass(node) or all(item.name != name for item in fields(node)):
            raise ConfigError.of(
                f"search.vary names {short(key)}, which is no key", "write one as in workload.recompute"
            )
        node = getattr(node, name)
    return node
