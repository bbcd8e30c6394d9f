"""The pipeline: micro-batches that a stage holds at once, and the bubble of each schedule.

Sources: Megatron-LM (2104.04473), zero bubble (2401.10241), DualPipe (DeepSeek-V3 report, table 2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.constants import DUALPIPE_MICRO_BATCHES
from compiler.costs.pipeline import closed
from compiler.costs.pipeline.orders import FORWARD, interleaved
from compiler.costs.work.stages import Layers


def schedule(case: Case) -> str:
    """The schedule that runs; 1f1b with virtual stages is interleaved."""
    chosen = case.workload.schedule
    return "interleaved" if chosen == "1f1b" else chosen


def bubble_fraction(case: Case) -> float:
    """Idle part of a step of one plan where all stages take the same time, a third of it forward."""
    each, count = np.ones(int(case.pp)) / 3, array(case.micro_batches)
    bubble = float(closed.bubble(schedule(case), each, 2 * each, array(case.vpp), count))
    return bubble / max(float(count) + bubble, 1.0)


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
        chunks = 2 * behind + (case.vpp - 1) * case.group + 1 + _early(case)
        held = np.where(case.vpp > 1, chunks / case.vpp, behind + 1)
    return np.minimum(held, case.micro_batches) * np.ones_like(case.stages.layers)


def _early(case: Case) -> int:
    """Chunks that run forward before they would have to."""
    return int(case.workload.overlapped_dispatch and case.model.moe)


ROUNDS = 4
"""Groups of micro-batches after which a rank's order repeats itself, and so does what it holds."""


def _of_chunks(case: Case, chunks: Layers) -> Array:
    """The same of chunks that are not alike, by the layers that each rank's order holds at a time; plans have stages alike."""
    pp, vpp = int(np.max(case.pp)), int(np.max(case.vpp))
    weights = chunks.with_mtp(case.model.moe).layers if case.workload.train else chunks.layers
    count = np.minimum(case.micro_batches, ROUNDS * case.group + case.micro_batches % case.group)
    sizes = np.stack(np.broadcast_arrays(count, case.group), axis=-1).astype(int)
    kinds, index = np.unique(sizes.reshape(-1, 2), axis=0, return_inverse=True)
    layers = tuple(float(count) for count in weights)
    held = np.stack([_of_orders((pp, vpp, int(count), int(group), _early(case)), layers) for count, group in kinds])
    return held[index.ravel()].reshape(*case.tp.shape[:-1], pp)


@lru_cache(maxsize=4096)
def _of_orders(sizes: tuple[int, int, int, int, int], layers: tuple[float, ...]) -> Array:
    """Shape [pp]; `sizes` are pp, vpp, micro-batches, those in a row and `early` chunks; `layers` of each virtual stage."""
    (pp, vpp, micro_batches, group, early), weights = sizes, array(layers)
    orders = interleaved(pp, vpp, micro_batches, group, early)
    held = np.ones(pp)
    for rank, order in enumerate(orders or ()):
        steps = [(1 if op.kind == FORWARD else -1) * weights[op.stage] for slot in order for op in slot]
        held[rank] = np.cumsum(steps).max() / max(weights[rank::pp].sum(), 1)
    return held if orders else np.minimum(pp, micro_batches) * held
