"""Flows with the seconds of a call on the worst group of their kind, and rows of them for people."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.comm.collectives import kept, seconds, wire_bytes
from compiler.costs.comm.links import Reach, between_copies, within_copy
from compiler.costs.shape import Shape
from compiler.costs.work.traffic import Flow
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Timed:
    """A flow, the worst group of its kind, and the seconds of one call."""

    flow: Flow
    reach: Reach
    call_s: Array


def timed(flows: Iterable[Flow], plan: Shape, gpu: GpuCalibration) -> list[Timed]:
    """Time each flow; those whose groups hold one rank are left out."""
    found = [(flow, _reach(flow, plan)) for flow in flows]
    return [
        Timed(flow, reach, seconds(flow.op, flow.payload, reach, plan.case.hardware, gpu, flow.copies))
        for flow, reach in found
        if np.any(array(reach.size) > 1)
    ]


def _reach(flow: Flow, plan: Shape) -> Reach:
    """The worst group that a flow runs in, or the part of it."""
    whole, copies = plan.reaches[flow.kind], array(plan.case.copies)
    if not flow.part:
        return whole
    return within_copy(whole, copies) if flow.part == "within" else between_copies(whole, copies)


@dataclass(frozen=True)
class Row:
    """One line of `communication`: bytes, calls and seconds of a whole phase on the busiest stage.

    `backward_count` of the calls are in the backward pass. `bytes_per_rank` are sent on the wire; `bytes_per_call` is one call's payload, the message size.
    """

    phase: str
    kind: str
    op: str
    role: str
    bytes_per_rank: float
    bytes_per_call: float
    count: float
    backward_count: float
    span: str
    seconds: float
    overlapped: bool


def row(item: Timed, phase: str, micro_batches: float) -> Row:
    """Sum a flow over the micro-batches of a phase; each number is that of the stage where it is largest."""
    flow = item.flow
    calls = micro_batches * (flow.forward + flow.backward) + flow.step
    wire = wire_bytes(flow.op, flow.payload * kept(flow.copies, item.reach.size), item.reach.size)
    return Row(
        phase=phase,
        kind=flow.kind,
        op=flow.op,
        role=flow.role,
        bytes_per_rank=float(np.max(calls * wire)),
        bytes_per_call=float(np.max(flow.payload)),
        count=float(np.max(calls)),
        backward_count=float(np.max(micro_batches * flow.backward)),
        span=str(item.reach.span),
        seconds=float(np.max(calls * item.call_s)),
        overlapped=flow.overlapped,
    )
