"""What the groups of each kind send in a phase: the flows that the cost model times, summed by kind, operation and stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.pipeline import flight
from compiler.costs.pipeline.closed import mirrored
from compiler.costs.shape import Shape, shape
from compiler.costs.total import longest
from compiler.costs.work.forward import one_token, prompt_pass, whole_sequences
from compiler.costs.work.traffic import Flow, passing, synchronising
from compiler.frozen import dataclass
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


@dataclass(frozen=True)
class Phase:
    """Flows of a phase, which run `micro_batches` times, and what they are read from."""

    case: Case
    flows: tuple[Flow, ...]
    micro_batches: float

    def calls(self, flow: Flow) -> Array:
        """How often a flow runs in the phase, by stage."""
        return self.micro_batches * (flow.forward + flow.backward) + flow.step


def phases(plan: Shape) -> Mapping[str, Phase]:
    """`train` is a step, `prefill` and `decode` one forward pass of a micro-batch at the longest length, as the rows of
    `communication`.
    """
    case = plan.case
    if case.workload.train:
        forward = whole_sequences(case, "train", case.workload.longest)
        flows = (*passing(case, forward), *synchronising(case, plan.held))
        return {"train": Phase(case, flows, float(case.micro_batches))}
    served = longest(plan).case
    both = (prompt_pass(served, served.workload.longest), one_token(served, served.workload.longest))
    wanted = [forward for forward in both if served.workload.role in (None, forward.phase)]
    return {forward.phase: Phase(served, tuple(passing(served, forward)), 1.0) for forward in wanted}


def streams(world: World) -> Mapping[str, tuple[Stream, ...]]:
    """By phase. Kinds of one rank, and flows without bytes, are left out."""
    with np.errstate(all="ignore"):
        return {name: tuple(_summed(world, phase)) for name, phase in phases(shape(world)).items()}


def _summed(world: World, phase: Phase) -> Iterator[Stream]:
    """Flows of one kind, operation and number of copies together."""
    found: dict[tuple[str, str, int], tuple[Array, Array]] = {}
    for flow in phase.flows:
        if world.groups.size(flow.kind) > 1:
            key = (flow.kind, flow.op, flow.copies)
            ahead, back = _sent(world, phase, flow)
            if key in found:
                ahead, back = ahead + found[key][0], back + found[key][1]
            found[key] = (ahead, back)
    for (kind, op, copies), (ahead, back) in found.items():
        if np.isfinite(ahead + back).all() and (ahead + back).any():
            yield Stream(kind, op, copies, ahead, back)


def _sent(world: World, phase: Phase, flow: Flow) -> tuple[Array, Array]:
    """Bytes to the next rank, and to the one before, by stage. Of the ranks of a ring all send to the next one, and under DualPipe
    half of the micro-batches run the other way, through the mirrored stages.
    """
    case, one = phase.case, np.ones(world.degrees.pp)
    ahead = one * flow.payload * (phase.micro_batches * flow.forward + flow.step)
    back = one * flow.payload * phase.micro_batches * flow.backward
    stages, turned = flow.role == "stages", case.workload.train and flight.schedule(case) == "dualpipe"
    if stages:
        return ((ahead + back[::-1]) / 2, (back + ahead[::-1]) / 2) if turned else (ahead, back)
    both = ahead + back
    return mirrored(both) if turned else both, 0 * both
