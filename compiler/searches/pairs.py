"""Pairs of a plan that prefills and one that decodes: the instances of each that are best, by what clients see and the slower pool's pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field  # noqa: TID251 - what changes while it works is not frozen

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.paired import EACH, Fill, answering, filling, seen
from compiler.passes import timed_by
from compiler.searches import costs, limits
from compiler.searches.feasible import Feasible
from compiler.searches.order import Figures, objective, scores, settled
from compiler.searches.plans import Index
from compiler.searches.room import Counts, counts
from compiler.searches.space import NODES, Space
from compiler.specs.config import Config

WAITS = ("latency", "step_time")
"""Objectives that the time of a request decides."""


@dataclass(frozen=True)
class Pool:
    """Feasible plans of one pool, their ranks, and what they bring to a pair."""

    space: Space
    found: Feasible
    sizes: NDArray[np.int32]
    brings: Mapping[str, Array]

    @property
    def pace(self) -> Array:
        """Requests/s of an instance."""
        return self.found.costs["requests_per_s"]

    def fill(self, at: int) -> Fill:
        each = array([self.brings[name][at] for name in self.brings if name.startswith(EACH)])
        return Fill(self.space.config.workload, self.brings["lanes"][at], self.brings["alone_s"][at], each)


def pools(fill: tuple[Space, Feasible], step: tuple[Space, Feasible]) -> tuple[Pool, Pool]:
    """With what clients wait for, by the constants of the server that decodes."""
    by = timed_by(step[0].config)[0]
    first = costs.every(fill[0], fill[1].plans, lambda config, many: filling(config, many, by))
    second = costs.every(step[0], step[1].plans, lambda config, many: answering(config, many, by))
    return (
        Pool(*fill, fill[1].plans.column("world_size"), first),
        Pool(*step, step[1].plans.column("world_size"), second),
    )


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


def best(fill: Pool, step: Pool, allowed: NDArray[np.bool_], tell: Callable[[float], None]) -> Best:
    """Of all pairs that rules allow, shape [prefill, decode]; `tell` hears what part of them is done."""
    space, found = step.space, Best()
    by, room = timed_by(space.config)[0], dict[tuple[int, int], Counts]()
    for at, row in enumerate(allowed):
        tell(at / len(allowed))
        for size in np.unique(step.sizes[row]):
            key = int(fill.sizes[at]), int(size)
            if key not in room:
                room[key] = counts(space.config.hardware, space.gpus, *key)
            index = np.flatnonzero(row & (step.sizes == size))
            if len(room[key]):
                _choose(found, fill, step, at, index, room[key], by)
            else:
                found.refuse(NODES, len(index))
    return found


def _choose(found: Best, fill: Pool, step: Pool, at: int, index: Index, room: Counts, by: Calibration) -> None:
    """Add the pairs of one plan that prefills with those at `index` that decode."""
    config = step.space.config
    waits = any(limits.asked(config)) or objective(config) in WAITS
    every = _figures(fill, step, at, index, room, by if waits else None)
    good = np.ones(every.tokens_per_s.shape, dtype=bool)
    for name, keeps in _limits(config, every):
        lost = good.any(axis=1) & ~(good & keeps).any(axis=1)
        if lost.any():
            found.refuse(f"search.{name}", int(lost.sum()))
        good &= keeps
    rows = np.flatnonzero(good.any(axis=1))
    if len(rows):
        chosen = _first(scores(config, every)[: 3 if waits else 2], good)[rows]
        _add(found.pairs, fill, step, at, index[rows], room.take(chosen), by)
    else:
        over = np.maximum(limits.far(config, every), 1)
        nearest = np.lexsort([-every.requests_per_s.ravel(), over.ravel()])[:1]
        row, count = np.unravel_index(nearest, over.shape)
        _add(found.near, fill, step, at, index[row], room.take(count), by)


def _add(found: Pairs, fill: Pool, step: Pool, at: int, index: Index, each: Counts, by: Calibration) -> None:
    """Add pairs of one plan that prefills, each with its numbers of instances."""
    column = Counts(*(values[:, None] for values in vars(each).values()))
    figures = _figures(fill, step, at, index, column, by)
    found.fill.append(np.full(len(index), at))
    found.step.append(index)
    found.counts.append(each)
    found.figures.append(Figures(**{name: values.ravel() for name, values in vars(figures).items()}))


def _figures(fill: Pool, step: Pool, at: int, index: Index, each: Counts, by: Calibration | None) -> Figures:
    """Of pairs, shape [index, counts]; without what clients wait for where `by` is None."""
    config = step.space.config
    rate = np.minimum(each.prefill * fill.pace[at], each.decode * step.pace[index, None])
    gpus = each.prefill * fill.sizes[at] + each.decode * step.sizes[index, None]
    used = np.maximum(fill.found.costs["memory_bytes"][at], step.found.costs["memory_bytes"][index, None])
    none = np.full_like(rate, np.nan)
    first, token = none, none
    if by is not None and not config.workload.two_batch_overlap:
        own = {name: values[index, None] for name, values in step.brings.items()}
        clients = seen(fill.fill(at), own, each.prefill, each.decode, by)
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
