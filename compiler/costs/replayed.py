"""The pipeline of one plan, replayed operation by operation: what its ranks wait for each other, and when each does what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.pipeline import flight, replay
from compiler.costs.shape import Shape
from compiler.costs.step import Waiting, stages, work


def chunk_shares(plan: Shape, by: Calibration) -> tuple[float, ...]:
    """What part of its rank's seconds each virtual stage takes, where those of a rank are not alike; empty where they are."""
    if plan.case.chunks is None:
        return ()
    each, vpp = stages(work(plan.apart(), by.gpu)[0], by.software).total, int(plan.case.vpp)
    ranks = np.tile(each.reshape(vpp, -1).sum(axis=0), vpp)
    shares = np.where(ranks > 0, each / np.maximum(ranks, np.finfo(float).tiny), 1 / vpp)
    return tuple(float(part) for part in shares)


def replayed(plan: Shape, by: Calibration) -> Waiting:
    """What the ranks of one plan wait for each other, by a replay of its schedule."""
    if plan.case.pp == 1:
        return lambda _forward, _backward: array(0.0)
    made = pipeline(plan, by)
    return lambda forward, backward: array(made(forward, backward).bubble())


def pipeline(plan: Shape, by: Calibration) -> Callable[[Array, Array], replay.Pipeline]:
    """The pipeline of one plan, of the seconds of a micro-batch forward and backward on each rank."""
    case = plan.case
    sizes = (int(case.vpp), int(case.micro_batches), int(case.group), chunk_shares(plan, by))
    return lambda forward, backward: replay.Pipeline(flight.schedule(case), forward, backward, *sizes)
