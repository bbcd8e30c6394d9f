"""The pipeline: micro-batches that a stage holds at once, and the bubble of each schedule.

A bubble is in units of one micro-batch's forward and backward pass on a stage. Sources: Megatron-LM (2104.04473),
zero bubble (2401.10241), DualPipe (DeepSeek-V3 report, table 2).
"""

from __future__ import annotations

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.constants import DUALPIPE_MICRO_BATCHES, ZERO_BUBBLE_SHARE
from compiler.costs.orders import FORWARD, interleaved
from compiler.costs.stages import Layers


def schedule(case: Case) -> str:
    """The schedule that runs; 1f1b with virtual stages is interleaved."""
    chosen = case.workload.schedule
    return "interleaved" if chosen == "1f1b" else chosen


def share(name: str, pp: Array, vpp: Array) -> Array:
    """Part of 1F1B's bubble, (pp-1) micro-batches, that a schedule leaves. 1F1B is the interleaved one with vpp = 1.

    DualPipe: (pp/2-1)(F&B + B - 3W) with B = 2F and W = F, an overlapped pair F&B taking F + B.
    """
    if name == "zero_bubble":
        return ZERO_BUBBLE_SHARE * np.ones_like(pp)
    if name == "dualpipe":
        return array(np.maximum(pp - 2, 0) / (3 * np.maximum(pp - 1, 1)))
    return 1 / vpp


def bubble_fraction(case: Case) -> Array:
    """Idle part of a step where all stages take the same time."""
    bubble = (case.pp - 1) * share(schedule(case), case.pp, case.vpp)
    return bubble / np.maximum(case.micro_batches + bubble, 1)


def in_flight(case: Case) -> Array:
    """Micro-batches whose activations a stage holds at the peak, in whole stages, arrays over stages.

    1F1B: pp - i on stage i. Interleaved: 2(pp-i-1) + (vpp-1)*group + 1 chunks of a vpp-th stage, and one more where tokens travel
    beside another micro-batch's computation (Megatron-LM pipeline_parallel/schedules.py, get_pp_rank_microbatches). ZB1P: as 1F1B.
    """
    if case.chunks is not None and schedule(case) == "interleaved":
        return _of_chunks(case, case.chunks)
    stage = np.arange(case.stages.layers.shape[-1])
    behind = np.maximum(case.pp - 1 - stage, 0)
    if schedule(case) == "dualpipe":
        held = np.where(case.pp > 1, case.pp + DUALPIPE_MICRO_BATCHES, 1)
    elif schedule(case) == "zero_bubble":
        held = behind + 1
    else:
        chunks = 2 * behind + (case.vpp - 1) * case.in_a_row + 1 + _early(case)
        held = np.where(case.vpp > 1, chunks / case.vpp, behind + 1)
    return np.minimum(held, case.micro_batches) * np.ones_like(case.stages.layers)


def _early(case: Case) -> int:
    """Chunks that run forward before they would have to."""
    return int(case.workload.overlapped_dispatch and case.model.moe)


ROUNDS = 4
"""Groups of micro-batches after which a rank's order repeats itself, and so does what it holds."""


def _of_chunks(case: Case, chunks: Layers) -> Array:
    """The same of chunks that are not alike, by the layers that each rank's order holds at a time."""
    pp, vpp, group = int(case.pp), int(case.vpp), int(case.in_a_row)
    count = min(int(case.micro_batches), ROUNDS * group + int(case.micro_batches) % group)
    orders = interleaved(pp, vpp, count, group, _early(case))
    weights = chunks.with_mtp(case.model.moe).layers if case.workload.train else chunks.layers
    held = np.ones(pp)
    for rank, order in enumerate(orders or ()):
        steps = [(1 if op.kind == FORWARD else -1) * weights[op.stage] for slot in order for op in slot]
        held[rank] = np.cumsum(steps).max() / max(weights[rank::pp].sum(), 1)
    return held if orders else np.minimum(pp, case.micro_batches) * held
