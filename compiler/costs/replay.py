"""A pipeline's schedule, replayed operation by operation over stages that take unequal times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.costs import uneven
from compiler.costs.case import Array, array
from compiler.costs.orders import BACKWARD, FORWARD, INPUT, ORDERS, WEIGHT, WEIGHT_SHARE, Op, Slot

STEADY = 4
"""Micro-batches for each stage after which a pipeline repeats itself: more of them are not replayed."""


@dataclass(frozen=True)
class Times:
    """Seconds of one micro-batch by stage of all chunks, in the order in which a micro-batch meets them."""

    forward: Sequence[float]
    backward: Sequence[float]

    def of(self, op: Op) -> float:
        if op.kind == FORWARD:
            return self.forward[op.stage]
        share = {BACKWARD: 1.0, INPUT: 1 - WEIGHT_SHARE, WEIGHT: WEIGHT_SHARE}[op.kind]
        return share * self.backward[op.stage]


def makespan(name: str, forward: Array, backward: Array, vpp: int, micro_batches: int) -> float | None:
    """Seconds from the first operation to the last; None where the schedule does not exist for these numbers.

    `forward` and `backward`: seconds of one micro-batch on each pipeline rank, all its chunks together.
    """
    pp = len(forward)
    shown = min(micro_batches, STEADY * pp + micro_batches % (2 * pp))
    orders = ORDERS[name](pp, vpp, shown)
    if orders is None:
        return None
    times = Times(_chunked(forward, vpp), _chunked(backward, vpp))
    end = replay(orders, times, pp * vpp)
    if end is None:
        return None
    return end + (micro_batches - shown) * float(np.max(_each(name, forward + backward)))


def bubble(name: str, forward: Array, backward: Array, vpp: int, micro_batches: int) -> float:
    """Seconds beyond the slowest rank's own work; in closed form where the schedule does not exist for these numbers."""
    end = makespan(name, forward, backward, vpp, micro_batches)
    if end is None:
        return float(uneven.bubble(name, forward, backward, array(vpp), array(micro_batches)))
    return max(0.0, end - micro_batches * float(np.max(_each(name, forward + backward))))


def _each(name: str, total: Array) -> Array:
    """Seconds that a further micro-batch takes on each rank."""
    return uneven.mirrored(total) if name == "dualpipe" else total


def _chunked(seconds: Array, vpp: int) -> list[float]:
    """A rank's seconds in equal parts over its chunks: stage c*pp + rank of all chunks."""
    return [float(x) for x in np.tile(seconds / vpp, vpp)]


def replay(orders: Sequence[Sequence[Slot]], times: Times, stages: int) -> float | None:
    """Run each rank's slots in order, each as soon as what it needs is there. None where they wait for each other."""
    done: dict[Op, float] = {}
    position, free = [0] * len(orders), [0.0] * len(orders)
    moved = True
    while moved:
        moved = False
        for rank, order in enumerate(orders):
            while position[rank] < len(order):
                slot = order[position[rank]]
                ready = _ready(slot, done, stages)
                if ready is None:
                    break
                end = max(free[rank], ready) + sum(times.of(op) for op in slot)
                for op in slot:
                    done[op] = end
                free[rank], position[rank], moved = end, position[rank] + 1, True
    return max(free) if all(map(lambda at, order: at == len(order), position, orders)) else None


def _ready(slot: Slot, done: dict[Op, float], stages: int) -> float | None:
    """When everything that a slot needs is there; None where some of it is still to come."""
    ready = 0.0
    for op in slot:
        needed = _needed(op, stages)
        if needed is not None:
            when = done.get(needed)
            if when is None and needed.kind == BACKWARD:
                when = done.get(Op(INPUT, needed.micro_batch, needed.stage))
            if when is None:
                return None
            ready = max(ready, when)
    return ready


def _needed(op: Op, stages: int) -> Op | None:
    """The operation whose result another one starts from."""
    if op.kind == FORWARD:
        return Op(FORWARD, op.micro_batch, op.stage - 1) if op.stage else None
    if op.kind == WEIGHT:
        return Op(INPUT, op.micro_batch, op.stage)
    if op.stage == stages - 1:
        return Op(FORWARD, op.micro_batch, op.stage)
    return Op(BACKWARD, op.micro_batch, op.stage + 1)
