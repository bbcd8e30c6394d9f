"""Every key of the configuration, and the one that a misspelt key may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from compiler.nearest import ALIKE
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.workload import Pools

SHOWN = 3
"""Most keys that one error names."""


@cache
def paths() -> tuple[str, ...]:
    """Dotted paths of all settings and of their groups, targets' own options among them."""
    found = [*_below(Config, ""), *_below(Pools, "workload.pools.")]
    for name in registry.names():
        found += [f"scheduler.{name}", *_below(registry.target(name).options, f"scheduler.{name}.")]
    return tuple(found)


def _below(spec: type[Any], path: str) -> Iterator[str]:
    hints = get_type_hints(spec)
    for item in fields(spec):
        kind = next((part for part in (hints[item.name], *get_args(hints[item.name])) if is_dataclass(part)), None)
        yield path + item.name
        if isinstance(kind, type):
            yield from _below(kind, f"{path}{item.name}.")


def meant(key: str) -> str:
    """`did you mean scheduler.slurm.partition?` of `slurm.partition`; empty where no key is near."""
    close = _same_end(key) or _alike(key)
    return f"did you mean {' or '.join(close[:SHOWN])}?" if close else ""


def _same_end(key: str) -> list[str]:
    """Keys that end as the given one, in the same group before others: `gpus` in `hardware.gpus` is `hardware.node.gpus`."""
    ends = [path for path in paths() if f".{path}".endswith(f".{key}")]
    if not ends:
        group, _, last = key.partition(".")
        ends = [
            path
            for path in paths()
            if last and path.startswith(f"{group}.") and path.endswith(f".{key.rpartition('.')[2]}")
        ]
    if not ends and "." not in key:
        ends = [path for path in paths() if path.endswith(f"_{key}")]
    least = min((path.count(".") for path in ends), default=0)
    near = [path for path in ends if path != key and path.count(".") == least]
    return sorted(near, key=lambda path: (-difflib.SequenceMatcher(None, key, path).ratio(), path))


def _alike(key: str) -> list[str]:
    """The key of the most similar spelling: as a whole, or but for the groups that it is in."""
    parts = key.count(".") + 1

    def similar(path: str) -> float:
        ends = {path, ".".join(path.split(".")[-parts:])}
        return max(difflib.SequenceMatcher(None, key, end).ratio() - (0.0 if end == path else 0.05) for end in ends)

    best = max(paths(), key=similar)
    return [best] if similar(best) >= ALIKE + 0.1 else []
