"""What a search found, as plain data: `summary.json`, and the parts of it that a report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.report.breakdown import PHASE, STEP
from compiler.searches import typed
from compiler.searches.beside import PREFILL
from compiler.searches.find import Found, framework, row
from compiler.searches.leaders import Leader
from compiler.searches.limits import CLIENTS, LOAD
from compiler.searches.space import SPACE, STAGES, VPP
from compiler.searches.watched import DEGREES
from compiler.words import figures

SCHEMA = "rankplan-search/1"

MOST = 100
"""Plans of the front that are kept here; `candidates.csv` marks all of them."""

DIFFERS = 0.01
"""Of the whole time; what differs by less is the same."""


def document(found: Found) -> dict[str, Any]:
    """The dictionary of `summary.json`."""
    space, asked = found.space, found.asked
    stages = space.config.parallel.stages
    contents = {
        "schema": SCHEMA,
        "objective": found.objective,
        "limits": limits(found),
        "space": {
            "gpus": space.gpus,
            "plans": asked.considered,
            "fixed": dict(space.fixed) | ({} if stages is None else {STAGES: stages}),
            "varied": {key: list(values) for key, values in space.varied()},
            "feasible": len(found.plans),
            "memory_bytes": space.config.hardware.gpu.memory_bytes,
        },
        "refused": dict(sorted(asked.refused.items(), key=lambda item: (-item[1], item[0]))),
        "left_out": [{"space": name, "says": str(problem)} for name, problem in asked.left_out],
        "best": {
            **row(found, 0),
            "plan": found.best.name,
            "overrides": list(choice(found, 0)),
            "fingerprint": found.best.fingerprint,
        },
        "tied": found.tied,
        "leaders": [
            {**row(found, one.at), "differs": differs(found.leaders[0], one), "overrides": list(choice(found, one.at))}
            for one in found.leaders
        ],
        "front": [row(found, int(at)) for at in np.flatnonzero(found.pareto)[:MOST]],
        "by_value": by_value(found),
        "nearest": nearest(found),
        "gpus_left": int(space.config.hardware.gpus - found.figures.gpus[0]),
    }
    cut: dict[str, Any] = figures(contents)
    return cut


def choice(found: Found, at: int) -> list[str]:
    return typed.choice(found.space, found.plans, at)


def limits(found: Found) -> dict[str, float]:
    search = found.space.config.search
    return {name: value for name in (*CLIENTS, LOAD) if (value := getattr(search, name)) is not None}


def by_value(found: Found) -> dict[str, list[dict[str, Any]]]:
    """The best plan of each value of each degree, and of each varied key."""
    beside = [name for key, name in PREFILL.items() if key != STAGES]
    keys = [key for key in (*DEGREES, *(key for key, _ in found.space.varied()), *beside) if key in found.plans.chosen]
    numbers = {key: found.plans.chosen[key] for key in keys}
    best = {key: list(_best_of(found, each, partial(found.plans.value, key))) for key, each in numbers.items()}
    if framework(found, 0):
        names = [one.config.framework.name for one in found.space.spaces]
        each = np.array([names.index(name) for name in names])[found.plans.chosen[SPACE]]
        best["framework"] = list(_best_of(found, each, lambda at: names[each[at]]))
    for key in beside:
        best[key] = [row for row in best.get(key, ()) if row["value"]]  # 0 is what servers that do both have
    return {key: rows for key, rows in best.items() if len(rows) > 1}


def _best_of(found: Found, numbers: NDArray[Any], value_of: Callable[[int], Any]) -> Iterator[dict[str, Any]]:
    """`numbers`: one for each plan, the same for the same value."""
    rates = found.figures.tokens_per_s
    for number, at in zip(*np.unique(numbers, return_index=True), strict=True):
        yield {
            "value": value_of(int(at)),
            "rank": int(at) + 1,
            "degrees": typed.name(found.space, found.plans, int(at)),
            "tokens_per_s": float(rates[at]),
            "of_best": float(rates[at] / rates[0]),
            "plans": int((numbers == number).sum()),
        }


def nearest(found: Found) -> dict[str, Any] | None:
    """The plan that needs least memory of those that do not fit, and what it lacks."""
    if found.asked.tight is None:
        return None
    plan, used = found.asked.tight
    capacity = found.space.config.hardware.gpu.memory_bytes
    return {
        "degrees": typed.degrees(found.space, plan, 0).name,
        "memory_bytes": used,
        "capacity_bytes": capacity,
        "lacks_bytes": used - capacity,
    }


def differs(first: Leader, other: Leader) -> str:
    """The first part of a step in which a plan differs from the best one, and by how much of the whole; empty where none does."""
    for name, own, best, whole in _parts(first, other):
        change = (own - best) / whole
        if abs(change) >= DIFFERS:
            return f"{name}: {change:+.1%} of the best one's {'step' if 'train' in first.projection else 'time'}"
    return ""


def _parts(first: Leader, other: Leader) -> Iterator[tuple[str, float, float, float]]:
    if "train" in first.projection:
        one, two = first.projection["train"], other.projection["train"]
        for key, words in STEP:
            yield words, two[key], one[key], one["step_time_s"]
        return
    for phase, key in (("decode", "tpot_s"), ("prefill", "ttft_s")):
        one, two = (max(each.projection["serve"][phase], key=_length, default=None) for each in (first, other))
        if one is None or two is None:
            continue
        for part, words in PHASE.items():
            yield f"{phase}, {words}", two["parts"].get(part, 0.0), one["parts"].get(part, 0.0), one[key]


def _length(row: Mapping[str, Any]) -> int:
    return int(row.get("context_length") or row.get("sequence_length") or 0)


NAMES = {STAGES: "stages", VPP: "vpp"}


def named(key: str) -> str:
    """A key as the head of a column."""
    return NAMES.get(key, f"{'prefill ' * (key in PREFILL.values())}{key.rpartition('.')[2]}")


def beside(contents: Mapping[str, Any]) -> list[str]:
    """Keys of a row that tell plans of the same degrees from each other: the framework where there are several, and what is varied."""
    return [*["framework"] * ("framework" in contents["best"]), *contents["space"]["varied"]]
