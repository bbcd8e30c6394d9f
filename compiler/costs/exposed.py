"""Seconds of collectives, and the part of them that computation does not hide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.collectives import kept, seconds, wire_bytes
from compiler.costs.links import Reach
from compiler.costs.traffic import Flow
from compiler.specs.hardware import Hardware

if TYPE_CHECKING:
    from compiler.costs.calibration import GpuCalibration

Reaches = Mapping[str, Reach]


@dataclass(frozen=True)
class Timed:
    """A flow, the worst group of its kind, and the seconds of one call."""

    flow: Flow
    reach: Reach
    call_s: Array


def timed(
    flows: Iterable[Flow], reaches: Reaches, hardware: Hardware, gpu: GpuCalibration | None = None
) -> list[Timed]:
    """Time each flow; those whose groups hold one rank are left out."""
    kept = [(flow, reaches[flow.kind]) for flow in flows]
    return [
        Timed(flow, reach, seconds(flow.op, flow.payload, reach, hardware, gpu, flow.copies))
        for flow, reach in kept
        if np.any(reach.size > 1)
    ]


def pass_seconds(flows: Iterable[Timed], compute: Array, attention: Array, *, backward: bool) -> Array:
    """Seconds that collectives add to one micro-batch's pass, arrays over stages.

    The CP ring hides behind the attention core, other overlapped ones together behind the whole computation.
    """
    open_s, ring_s, hidden_s = np.zeros_like(compute), np.zeros_like(compute), np.zeros_like(compute)
    for item in flows:
        calls = item.flow.backward if backward else item.flow.forward
        spent = calls * item.call_s
        if not item.flow.overlapped:
            open_s = open_s + spent
        elif item.flow.kind == "cp":
            ring_s = ring_s + spent
        else:
            hidden_s = hidden_s + spent
    return open_s + np.maximum(ring_s - attention, 0) + np.maximum(hidden_s - compute, 0)


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
        span=item.reach.span,
        seconds=float(np.max(calls * item.call_s)),
        overlapped=flow.overlapped,
    )
