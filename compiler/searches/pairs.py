"""Pairs of a plan that prefills and one that decodes: the instances of each that are best, by what clients see and the slower pool's pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field  # noqa: TID251 - what changes while it works is not frozen

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.costs.paired import pace, seen
from compiler.searches import limits
from compiler.searches.brought import Brought
from compiler.searches.order import Figures, objective, scores, settled
from compiler.searches.plans import Index
from compiler.searches.room import Counts
from compiler.searches.space import NODES
from compiler.specs.config import Config

WAITS = ("latency", "step_time")
"""Objectives that the time of a request decides."""

PACE = "requests_per_s"
"""Of an instance, by its phase alone."""


@dataclass
class Pairs:
    """Indices of plans of both pools, numbers of their instances, and what they do."""

    fill: list[Index] = field(default_factory=list)
    step: list[Index] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    figures: list[Figures] = field(default_factory=list)


@dataclass
class Best:
    """Pairs that keep the limits, each with the instances that are best; the nearest of those that do not; and how many pairs the room
    and each limit take away first.
    """

    pairs: Pairs = field(default_factory=Pairs)
    near: Pairs = field(default_factory=Pairs)
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, name: str, count: int) -> None:
        self.refused[name] = self.refused.get(name, 0) + count


def best(both: Brought, allowed: NDArray[np.bool_], tell: Callable[[float], None]) -> Best:
    """Of all pairs that rules allow, shape [prefill, decode]; `tell` hears what part of them is done."""
    found = Best()
    for at, row in enumerate(allowed):
        tell(at / len(allowed))
        for size in np.unique(both.step.sizes[row]):
            index = np.flatnonzero(row & (both.step.sizes == size))
            room = both.room[int(both.fill.sizes[at]), int(size)]
            if len(room):
                _choose(found, both, at, index, room)
            else:
                found.refuse(NODES, len(index))
    return found


def _choose(found: Best, both: Brought, at: int, index: Index, room: Counts) -> None:
    """Add the pairs of one plan that prefills with those at `index` that decode."""
    config = both.step.space.config
    waits = any(limits.asked(config)) or objective(config) in WAITS
    every = _figures(both, at, index, room, waits=waits)
    good = np.ones(every.tokens_per_s.shape, dtype=bool)
    for name, keeps in _limits(config, every):
        lost = good.any(axis=1) & ~(good & keeps).any(axis=1)
        if lost.any():
            found.refuse(f"search.{name}", int(lost.sum()))
        good &= keeps
    rows = np.flatnonzero(good.any(axis=1))
    if len(rows):
        chosen = _first(scores(config, every)[: 3 if waits else 2], good)[rows]
        _add(found.pairs, both, at, index[rows], room.take(chosen))
    else:
        over = np.maximum(limits.far(config, every), 1)
        nearest = np.lexsort([-every.requests_per_s.ravel(), over.ravel()])[:1]
        row, count = np.unravel_index(nearest, over.shape)
        _add(found.near, both, at, index[row], room.take(count))


def _add(found: Pairs, both: Brought, at: int, index: Index, each: Counts) -> None:
    """Add pairs of one plan that prefills, each with its numbers of instances."""
    column = Counts(*(values[:, None] for values in vars(each).values()))
    figures = _figures(both, at, index, column, waits=True)
    found.fill.append(np.full(len(index), at))
    found.step.append(index)
    found.counts.append(each)
    found.figures.append(Figures(**{name: values.ravel() for name, values in vars(figures).items()}))


def _figures(both: Brought, at: int, index: Index, each: Counts, *, waits: bool) -> Figures:
    """Of pairs, shape [index, counts]; with what clients wait for where `waits`."""
    config, fill, step = both.step.space.config, both.fill, both.step
    own = {name: values[index, None] for name, values in both.steps.items()}
    halves = config.workload.two_batch_overlap
    alone = each.prefill * fill.found.costs[PACE][at]  # nobody knows clients of batches in halves
    prompts = alone if halves else pace(both.fills[at], own, each.prefill, each.decode)
    rate = np.minimum(prompts, each.decode * step.found.costs[PACE][index, None])
    gpus = each.prefill * fill.sizes[at] + each.decode * step.sizes[index, None]
    used = np.maximum(fill.found.costs["memory_bytes"][at], step.found.costs["memory_bytes"][index, None])
    none = np.full_like(rate, np.nan)
    first, token = none, none
    if waits and not halves:
        clients = seen(both.fills[at], own, each.prefill, each.decode, both.by)
        first, token = clients.ttft_s + 0 * rate, clients.tpot_s + 0 * rate
    answer = config.workload.output_length
    return Figures(gpus, none, first, token, first + token * (answer - 1), rate, rate * answer, used + 0 * rate)


def _limits(config: Config, found: Figures) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each limit with those that keep it."""
    for name, limit in limits.asked(config):
        yield name, getattr(found, name) <= limit
    if config.search.requests_per_s is not None:
        yield limits.LOAD, found.requests_per_s >= config.search.requests_per_s


def _first(scores: Sequence[Array], good: NDArray[np.bool_]) -> Index:
    """The best of each row of those that are good, by one score after the other; the first of equals."""
    for score in scores:
        values = np.where(good, settled(score), np.inf)
        good = good & (values == values.min(axis=1, keepdims=True))
    found: Index = good.argmax(axis=1)
    return found
