"""What the groups of each kind send in a phase: the flows that the cost model times, summed by kind, operation and stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.pipeline import flight
from compiler.costs.pipeline.closed import mirrored
from compiler.costs.shape import shape
from compiler.costs.total import longest
from compiler.costs.work.forward import one_token, whole_sequences
from compiler.costs.work.traffic import Flow, passing, synchronising
from compiler.world import World


@dataclass(frozen=True)
class Stream:
    """Messages of a rank in a phase, by its stage: bytes of whole messages as `costs/comm/collectives.py` counts them, shape [pp].

    `ahead` go to the next rank where two talk at a time, `back` to the one before; elsewhere only their sum counts. `copies`: of a
    token in an all_to_all, which is sent once to each domain.
    """

    kind: str
    op: str
    copies: int
    ahead: Array
    back: Array

    @property
    def message(self) -> Array:
        total: Array = self.ahead + self.back
        return total


def streams(world: World) -> Mapping[str, tuple[Stream, ...]]:
    """By phase: `train` is a step, `prefill` and `decode` one forward pass of a micro-batch at the longest length, as the rows of
    `communication`. Kinds of one rank, and flows without bytes, are left out.
    """
    with np.errstate(all="ignore"):
        plan = shape(world)
        case = plan.case
        if case.workload.train:
            forward = whole_sequences(case, "train", case.workload.longest)
            flows = [*passing(case, forward), *synchronising(case, plan.held)]
            return {"train": tuple(_summed(world, case, flows, float(case.micro_batches)))}
        served = longest(plan).case
        both = (whole_sequences(served, "prefill", served.workload.longest), one_token(served, served.workload.longest))
        return {
            forward.phase: tuple(_summed(world, served, passing(served, forward), 1.0))
            for forward in both
            if served.workload.role in (None, forward.phase)
        }


def _summed(world: World, case: Case, flows: Iterable[Flow], micro_batches: float) -> Iterator[Stream]:
    """Flows of one kind, operation and number of copies together."""
    found: dict[tuple[str, str, int], tuple[Array, Array]] = {}
    for flow in flows:
        if world.groups.size(flow.kind) > 1:
            key = (flow.kind, flow.op, flow.copies)
            ahead, back = _sent(world, case, flow, micro_batches)
            if key in found:
                ahead, back = ahead + found[key][0], back + found[key][1]
            found[key] = (ahead, back)
    for (kind, op, copies), (ahead, back) in found.items():
        if np.isfinite(ahead + back).all() and (ahead + back).any():
            yield Stream(kind, op, copies, ahead, back)


def _sent(world: World, case: Case, flow: Flow, micro_batches: float) -> tuple[Array, Array]:
    """Bytes to the next rank, and to the one before, by stage. Of the ranks of a ring all send to the next one, and under DualPipe
    half of the micro-batches run the other way, through the mirrored stages.
    """
    one = np.ones(world.degrees.pp)
    ahead = one * flow.payload * (micro_batches * flow.forward + flow.step)
    back = one * flow.payload * micro_batches * flow.backward
    stages, turned = flow.role == "stages", case.workload.train and flight.schedule(case) == "dualpipe"
    if stages:
        return ((ahead + back[::-1]) / 2, (back + ahead[::-1]) / 2) if turned else (ahead, back)
    both = ahead + back
    return mirrored(both) if turned else both, 0 * both
