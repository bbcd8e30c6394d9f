"""The two pools of a search, and what their plans bring to a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.costs.calibration import Calibration
from compiler.costs.engine import at_once
from compiler.costs.paired import Fill, answering, filling
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.searches import costs
from compiler.searches.feasible import Feasible
from compiler.searches.room import Counts, counts
from compiler.searches.space import Space

Room = Mapping[tuple[int, int], Counts]
"""Ranks of an instance of each pool -> how many of both there is room for."""


@dataclass(frozen=True)
class Pool:
    """Feasible plans of one pool, and their ranks."""

    space: Space
    found: Feasible
    sizes: NDArray[np.int32]


@dataclass(frozen=True)
class Brought:
    """Both pools: each plan that prefills, and arrays of those that decode (`paired.answering`)."""

    fill: Pool
    step: Pool
    fills: Sequence[Fill]
    steps: Mapping[str, Array]
    room: Room
    by: Calibration


def brought(fill: tuple[Space, Feasible], step: tuple[Space, Feasible]) -> Brought:
    """By the constants of the server that decodes."""
    by, space = timed_by(step[0].config)[0], step[0]
    first, second = (Pool(*each, each[1].plans.column("world_size")) for each in (fill, step))
    sizes = [sorted({*pool.sizes.tolist()}) for pool in (first, second)]
    room = {(one, two): counts(space.config.hardware, space.gpus, one, two) for one in sizes[0] for two in sizes[1]}
    steps = costs.every(space, step[1].plans, lambda config, many: answering(config, many, by))
    return Brought(first, second, _fills(first, _waiting(first, second, steps["clients"], room), by), steps, room, by)


def _waiting(fill: Pool, step: Pool, clients: Array, room: Room) -> list[Array]:
    """Of each plan that prefills, the numbers of prompts that the clients of any pair let it fill in one go."""
    found, workload = dict[tuple[int, int], Array](), fill.space.config.workload
    each = list(zip(fill.sizes.tolist(), fill.found.plans.chosen["adp"].tolist(), strict=True))
    for size, lanes in dict.fromkeys(each):
        numbers = [np.ones(1)]
        for other in np.unique(step.sizes).tolist():
            own, pairs = np.unique(clients[step.sizes == other]), room[size, other]
            numbers.append(at_once(workload, own[:, None] * pairs.decode / (pairs.prefill * lanes)).ravel())
        found[size, lanes] = np.unique(np.concatenate(numbers))
    return [found[key] for key in each]


def _fills(pool: Pool, numbers: Sequence[Array], by: Calibration) -> list[Fill]:
    """Each plan at all of its own `numbers` of prompts."""
    plans, lengths = pool.found.plans, [len(own) for own in numbers]
    rows, together = np.repeat(np.arange(len(plans)), lengths), np.concatenate(numbers)
    found: dict[str, Array] = {}
    for index, config, many in costs.alike(pool.space, plans.take(rows)):
        for name, values in filling(config, many, together[index], by).items():
            found.setdefault(name, np.full(len(rows), np.nan))[index] = values
    each = {name: np.split(values, np.cumsum(lengths)[:-1]) for name, values in found.items()}
    workload = pool.space.config.workload
    return [
        Fill(
            workload, float(each["lanes"][at][0]), float(each["alone"][at][0]), own, each["each"][at], each["busy"][at]
        )
        for at, own in enumerate(numbers)
    ]
