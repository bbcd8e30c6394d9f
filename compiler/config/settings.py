"""Every key of the configuration, and the one that a misspelt key may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from compiler.nearest import ALIKE, near
from compiler.schedulers import registry
from compiler.specs.config import Config
from compiler.specs.fields import Rule, rule_of
from compiler.specs.workload import Pools

SHOWN = 3
"""Most keys that one error names."""

SECTION = 0.05
"""What a key that only holds others is less like the one that was meant: it takes no value."""

ELSEWHERE = {
    "dtype": "workload.precision",
    "batch_size": "workload.global_batch_size",
    "seq_len": "workload.sequence_length",
    "seq_length": "workload.sequence_length",
    "max_model_len": "workload.sequence_lengths",
    "tensor_parallel_size": "parallel.tp",
    "pipeline_parallel_size": "parallel.pp",
    "context_parallel_size": "parallel.cp",
    "data_parallel_size": "parallel.dp",
    "expert_parallel_size": "parallel.ep",
    "num_nodes": "hardware.nodes",
    "num_gpus": "hardware.node.gpus",
    "num_layers": "model.num_hidden_layers",
    "replicas": "framework.instances",
}
"""Settings by what other programs call them."""


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


def typed(path: str) -> tuple[Any, Rule]:
    """What a setting holds, and its range; nothing is known of what a mapping holds, or of what is no setting."""
    spec: Any = Config
    rule, hint = Rule(), None
    for name in path.split("."):
        item = next((item for item in fields(spec) if item.name == name), None) if is_dataclass(spec) else None
        if item is None:
            return None, Rule()
        rule, hint = rule_of(item), get_type_hints(spec)[name]
        spec = next((part for part in (hint, *get_args(hint)) if is_dataclass(part)), None)
    return hint, rule


def meant(key: str) -> str:
    """`did you mean scheduler.slurm.partition?` of `slurm.partition`; empty where no key is near."""
    named = [ELSEWHERE[last] for last in [key.rpartition(".")[2]] if last in ELSEWHERE]
    close = list(dict.fromkeys([*_same_end(key), *named])) or _words(key) or _alike(key)
    return f"did you mean {' or '.join(close[:SHOWN])}?" if close else ""


def below(key: str) -> list[str]:
    """The keys of a section; none where it takes a value itself."""
    return [path for path in paths() if path.startswith(f"{key}.") and not _section(path)]


def beside(key: str) -> str:
    """The setting of the same group that a section was taken for; empty where none is near."""
    group, _, last = key.rpartition(".")
    names = [path.rpartition(".")[2] for path in paths() if path.rpartition(".")[0] == group and not _section(path)]
    close = [f"{group}.{name}".lstrip(".") for name in near(last, names)]
    return f"did you mean {' or '.join(close)}?" if close else ""


def _section(path: str) -> bool:
    return any(other.startswith(f"{path}.") for other in paths())


def _words(key: str) -> list[str]:
    """Keys of the same group, or of any where none is given, whose last name has the given one's words in it, in their order."""
    group, _, last = key.rpartition(".")
    words = f"_{last}_"
    found = [path for path in paths() if words in f"_{path.rpartition('.')[2]}_" and not _section(path)]
    same = [path for path in found if path.startswith(f"{group}.")]
    return same if group else found


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
    shallow = [path for path in ends if path != key and path.count(".") == least]
    return sorted(shallow, key=lambda path: (-difflib.SequenceMatcher(None, key, path).ratio(), path))


def _alike(key: str) -> list[str]:
    """The key of the most similar spelling: as a whole, or but for the groups that it is in."""
    parts = key.count(".") + 1

    def similar(path: str) -> float:
        ends = {path, ".".join(path.split(".")[-parts:])}
        return max(difflib.SequenceMatcher(None, key, end).ratio() - (0.0 if end == path else 0.05) for end in ends)

    best = max(paths(), key=lambda path: similar(path) - SECTION * _section(path))
    return [best] if similar(best) >= ALIKE + 0.1 else []
