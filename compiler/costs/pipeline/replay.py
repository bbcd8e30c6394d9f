"""A pipeline's schedule, replayed operation by operation over stages that take unequal times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.constants import WEIGHT_SHARE
from compiler.costs.pipeline import closed
from compiler.costs.pipeline.orders import BACKWARD, FORWARD, INPUT, ORDERS, WEIGHT, Op, Slot
from compiler.frozen import dataclass

SLOTS = 16_000
"""Slots that are replayed, some 30 ms of them; the steps of a longer pipeline go on as its slowest rank does (within 0.7 % on stages
that differ by up to 30 %)."""

FEWEST = 2
"""Micro-batches for each stage that are replayed in any case: the pipeline is full once."""


SHARES = {BACKWARD: 1.0, INPUT: 1 - WEIGHT_SHARE, WEIGHT: WEIGHT_SHARE}
"""Parts of a backward pass."""

Key = tuple[str, int, int]
"""An operation's kind, micro-batch and stage: a plain tuple is quicker than an Op, and equal to it."""


@dataclass(frozen=True)
class Times:
    """Seconds of one micro-batch by stage of all chunks, in the order in which a micro-batch meets them."""

    forward: Sequence[float]
    backward: Sequence[float]

    def of(self, op: Op) -> float:
        kind, _, stage = op
        return self.forward[stage] if kind == FORWARD else SHARES[kind] * self.backward[stage]


@dataclass(frozen=True)
class Replayed:
    """What each rank does when: its slots, each with its start and end in seconds. `rest_s`: what the micro-batches behind `shown`
    of them take, which go on as the slowest rank does.
    """

    slots: Sequence[Sequence[tuple[float, float, Slot]]]
    shown: int
    rest_s: float

    @property
    def end_s(self) -> float:
        return max(slots[-1][1] for slots in self.slots) + self.rest_s


@dataclass(frozen=True)
class Pipeline:
    """A schedule's `name`, and seconds of one micro-batch on each pipeline rank, all its chunks together.

    `group` micro-batches go through a chunk in a row (0: as many as ranks). `shares`: the part of its rank's seconds that each
    chunk takes, in the order in which a micro-batch meets them; equal parts where there are none.
    """

    name: str
    forward: Array
    backward: Array
    vpp: int
    micro_batches: int
    group: int = 0
    shares: Sequence[float] = ()

    def makespan(self) -> float | None:
        """Seconds from the first operation to the last; None where the schedule does not exist for these numbers."""
        found = self.replayed()
        return found.end_s if found else None

    def replayed(self) -> Replayed | None:
        """Every operation in its place; None where the schedule does not exist for these numbers."""
        pp, group = len(self.forward), self.group or len(self.forward)
        rounds = max(FEWEST, SLOTS // (2 * pp * self.vpp * group))
        shown = min(self.micro_batches, rounds * group + self.micro_batches % group)
        orders = ORDERS[self.name](pp, self.vpp, shown, group)
        if orders is None:
            return None
        times = Times(_chunked(self.forward, self.vpp, self.shares), _chunked(self.backward, self.vpp, self.shares))
        slots = replay(orders, times, pp * self.vpp)
        rest = (self.micro_batches - shown) * float(np.max(_each(self.name, self.forward + self.backward)))
        return Replayed(slots, shown, rest) if slots else None

    def bubble(self) -> float:
        """Seconds beyond the slowest rank's own work; in closed form where the schedule does not exist for these numbers."""
        end = self.makespan()
        if end is None:
            vpp, count = array(self.vpp), array(self.micro_batches)
            return float(closed.bubble(self.name, self.forward, self.backward, vpp, count))
        return max(0.0, end - self.micro_batches * float(np.max(_each(self.name, self.forward + self.backward))))


def _each(name: str, total: Array) -> Array:
    """Seconds that a further micro-batch takes on each rank."""
    return closed.mirrored(total) if name == "dualpipe" else total


def _chunked(seconds: Array, vpp: int, shares: Sequence[float]) -> list[float]:
    """A rank's seconds over its chunks: stage c*pp + rank of all chunks."""
    parts = np.tile(seconds, vpp) * np.array(shares) if shares else np.tile(seconds / vpp, vpp)
    return [float(x) for x in parts]


def replay(
    orders: Sequence[Sequence[Slot]], times: Times, stages: int
) -> Sequence[Sequence[tuple[float, float, Slot]]] | None:
    """Run each rank's slots in order, each as soon as what it needs is there: its start and end. None where they wait for each other."""
    done: dict[Key, float] = {}
    position, free = [0] * len(orders), [0.0] * len(orders)
    seen: list[list[tuple[float, float, Slot]]] = [[] for _ in orders]
    moved = True
    while moved:
        moved = False
        for rank, order in enumerate(orders):
            while position[rank] < len(order):
                slot = order[position[rank]]
                ready = _ready(slot, done, stages)
                if ready is None:
                    break
                start = max(free[rank], ready)
                end = start + sum(times.of(op) for op in slot)
                for op in slot:
                    done[op] = end
                seen[rank].append((start, end, slot))
                free[rank], position[rank], moved = end, position[rank] + 1, True
    return seen if all(map(lambda at, order: at == len(order), position, orders)) else None


def _ready(slot: Slot, done: dict[Key, float], stages: int) -> float | None:
    """When everything that a slot needs is there; None where some of it is still to come."""
    ready = 0.0
    for op in slot:
        needed = _needed(op, stages)
        if needed is not None:
            when = done.get(needed)
            if when is None and needed[0] == BACKWARD:
                when = done.get((INPUT, needed[1], needed[2]))
            if when is None:
                return None
            ready = max(ready, when)
    return ready


def _needed(op: Op, stages: int) -> Key | None:
    """The operation whose result another one starts from."""
    kind, number, stage = op
    if kind == FORWARD:
        return (FORWARD, number, stage - 1) if stage else None
    if kind == WEIGHT:
        return INPUT, number, stage
    return (FORWARD, number, stage) if stage == stages - 1 else (BACKWARD, number, stage + 1)
