"""What a pipeline's stages wait for each other in a step: one plan's schedule is replayed, many plans' waits are in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.costs import pipeline, replay, uneven
from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.params import Counts, Totals, counts

if TYPE_CHECKING:
    from compiler.costs.software import Software
    from compiler.costs.step import Step, Work


def on_ranks(case: Case, values: Array) -> Array:
    """What a rank takes of what stages take: under DualPipe it runs its own stage and the mirrored one in turns."""
    return uneven.mirrored(values) if pipeline.schedule(case) == "dualpipe" else values


def replayed(case: Case, forward: Array, backward: Array, shares: Sequence[float] = ()) -> Array:
    """Seconds of one plan's step beyond the slowest rank's own work, shape []."""
    if case.pp == 1:
        return array(0.0)
    vpp, count, group = int(case.vpp), int(case.micro_batches), int(case.in_a_row)
    return array(replay.Pipeline(pipeline.schedule(case), forward, backward, vpp, count, group, shares).bubble())


def chunk_shares(case: Case, whole: Totals, seconds: Callable[[Case, Counts], Array]) -> tuple[float, ...]:
    """What part of its rank's seconds each virtual stage takes, where those of a rank are not alike; `seconds` are a micro-batch's
    on each stage of a case.
    """
    if case.chunks is None:
        return ()
    apart = replace(case, stages=case.chunks, chunks=None, pp=case.pp * case.vpp, vpp=np.ones_like(case.vpp))
    each = seconds(apart, counts(apart, whole))
    ranks = np.tile(each.reshape(int(case.vpp), -1).sum(axis=0), int(case.vpp))
    return tuple(
        float(part) for part in np.where(ranks > 0, each / np.maximum(ranks, np.finfo(float).tiny), 1 / case.vpp)
    )


def closed(case: Case, forward: Array, backward: Array) -> Array:
    """The same of many plans, shape [plans]."""
    vpp, count = (np.asarray(value + 0 * case.tp)[..., 0] for value in (case.vpp, case.micro_batches))
    return uneven.bubble(pipeline.schedule(case), forward, backward, vpp, count)


def step(case: Case, work: Work, by: Software, shares: Sequence[float] = ()) -> Step:
    """A step by measured curves, with the waits of its own schedule: of one plan, or of many."""
    from compiler.costs.step import stages
    from compiler.costs.step import step as parts

    total = stages(work, by).total
    forward = total / (3 + work.again)  # one part of three, or of four where all is computed once more
    one = case.tp.ndim == 0
    waiting = replayed(case, forward, total - forward, shares) if one else closed(case, forward, total - forward)
    return replace(parts(_ranks(case, work), by), bubble_s=by.scale * waiting)


def _ranks(case: Case, work: Work) -> Work:
    """The work of ranks in the place of that of stages."""

    def turned(value: Any) -> Any:
        return {key: turned(part) for key, part in value.items()} if isinstance(value, dict) else on_ranks(case, value)

    by_stage = (item.name for item in fields(work) if item.name not in ("micro_batches", "bubble_share"))
    return replace(work, **{name: turned(getattr(work, name)) for name in by_stage})
