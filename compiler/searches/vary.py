"""What is tried beside the degrees: keys, and their values."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from compiler.config.settings import meant
from compiler.config.valued import valued
from compiler.errors import CompilerError, ConfigError, Problem, short
from compiler.searches.space import INSTANCES, NODES, STAGES, VPP
from compiler.searches.watched import DEGREES
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

DECIDED = {*(f"parallel.{name}" for name in (*DEGREES, "dp")), STAGES, INSTANCES, NODES} - {VPP}
"""Keys that the search itself has an answer for."""

LEFT = ("workload.kind", "workload.pools", "workload.role", "workload.assumed")
"""Keys of the workload that say what is asked, and leave nothing to choose."""

MOST_VALUES, MOST_CHOICES = 128, 1024
"""Values of a key, and what those of all keys but the virtual stages multiply to: each is another plan for each pair of grids."""


def varied(config: Config, written: Collection[str]) -> dict[str, Sequence[Any]]:
    """Values of each key; one that is written on the command line stays as it is, unless `search.vary` names it too. Raises ConfigError
    with all that is wrong with the keys and their values.
    """
    if config.search.vary is None:
        keys = TRAINING if config.workload.train else SERVING
        return {key: values(config, key) for key in keys if key not in written}
    found, bad = _read(config, config.search.vary)
    choices = math.prod(len(own) for key, own in found.items() if key != VPP)
    if choices > MOST_CHOICES:
        fewer = f"give its keys fewer values: at most {MOST_CHOICES:,}"
        bad.append(Problem(f"search.vary makes {choices:,} plans of each", fewer))
    if bad:
        raise ConfigError(bad)
    return found


def _read(config: Config, asked: Any) -> tuple[dict[str, Sequence[Any]], list[Problem]]:
    """`search.vary` as keys and their values, and what is wrong with them."""
    found, bad = dict[str, Sequence[Any]](), list[Problem]()
    if not isinstance(asked, (str, Mapping, list, tuple)):
        example = "write search.vary=[workload.recompute], or 'search.vary={workload.micro_batch_size: [1, 2]}'"
        bad.append(Problem(f"search.vary={short(asked)} is neither a list of keys nor a mapping of them", example))
        return found, bad
    for key in [asked] if isinstance(asked, str) else asked:
        try:
            _refuse(config, key)
            found[key] = _given(config, key, asked[key]) if isinstance(asked, Mapping) else values(config, key)
        except ConfigError as error:
            bad += error.problems
    return found, bad


def _refuse(config: Config, key: Any) -> None:
    """Raises ConfigError for what is no key, or none that a search may choose."""
    if not isinstance(key, str):
        raise ConfigError.of(f"search.vary names {short(key)}, which is no key", "write one as in workload.recompute")
    if key in DECIDED:
        raise ConfigError.of(
            f"search.vary names {key}, which a search chooses anyway",
            f"leave it out of search.vary, or write {key} by itself to keep it at a value",
        )
    if is_dataclass(current(config, key)):
        raise ConfigError.of(f"search.vary names {key}, a section of keys", "write its keys, as in workload.recompute")
    group = key.partition(".")[0]
    if (group != "workload" and key not in (VPP, "parallel.order", "framework.expert_layout")) or key in LEFT:
        raise ConfigError.of(
            f"search.vary names {key}, which is not for a search to choose: it says what is asked, or changes no cost",
            "leave it out of search.vary; -m sweeps over values, each a search of its own",
        )


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
            if not str(item.type).startswith("list"):
                yield from (word for word in rule.options if word not in SYNONYMS.get(key, ()))
            if str(item.type) == "int" and rule.least is not None and rule.greatest is not None and rule.greatest < 8:
                yield from range(int(rule.least), int(rule.greatest) + 1)


def _unknown(key: str) -> Sequence[Any]:
    raise ConfigError.of(
        f"search.vary names {key}, and has no values to try", f"write them, as in 'search.vary={{{key}: [A, B]}}'"
    )


def _given(config: Config, key: str, found: Any) -> Sequence[Any]:
    """The values of a key as overrides would have them, each once. Raises ConfigError for those that an override would be refused for."""
    if not isinstance(found, (list, tuple)) or not 0 < len(found) <= MOST_VALUES:
        many = (
            f"has {len(found)} values" if isinstance(found, (list, tuple)) else f"={short(found)} is no list of values"
        )
        raise ConfigError.of(
            f"search.vary.{key} {many}".replace(" =", "="), f"write {key}: [A, B], of at most {MOST_VALUES} values"
        )
    own, kept, bad = current(config, key), list[Any](), list[Problem]()
    for value in found:
        try:
            typed = own if type(value) is type(own) and value == own else valued(config, key, value)
        except CompilerError as error:
            where = {
                problem: "search.vary" if key in problem.what else f"search.vary.{key}" for problem in error.problems
            }
            bad += [problem.of(place) for problem, place in where.items()]
            continue
        kept += [] if typed in kept else [typed]
    if bad:
        raise ConfigError(bad)
    return tuple(kept)


def current(config: Config, key: str) -> Any:
    """The value of a dotted key. Raises ConfigError for none."""
    node: Any = config
    for name in key.split("."):
        if not is_dataclass(node) or all(item.name != name for item in fields(node)):
            raise ConfigError.of(
                f"search.vary names {short(key)}, which is no key", meant(key) or "write one as in workload.recompute"
            )
        node = getattr(node, name)
    return node
