"""Seconds of computation on one GPU: a roofline, time = max(FLOPs / (peak*eff), bytes / (bandwidth*eff)) + launches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compiler.blocks.block import Block, local
from compiler.costs import flops
from compiler.costs.activations import elementwise_bytes
from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.constants import KERNEL_LAUNCH_S, KERNELS_PER_LAYER
from compiler.costs.forward import Forward, touched_fraction
from compiler.costs.memory import cached_bytes
from compiler.costs.params import Counts
from compiler.specs.hardware import Gpu


def roofline(work: Array, moved_bytes: Array, gpu: Gpu, precision: str) -> Array:
    """Seconds of kernels that do `work` FLOPs and move bytes; the slower of the two counts."""
    arithmetic = work / (flops.peak_flops(gpu, precision) * gpu.compute_efficiency)
    memory = moved_bytes / (gpu.memory_bandwidth * gpu.memory_efficiency)
    return np.maximum(arithmetic, memory)


@dataclass(frozen=True)
class Compute:
    """Seconds of one forward pass by part, arrays over stages; a decode step is a single part, `gemms`."""

    gemms: Array
    core: Array
    rest: Array

    @property
    def total(self) -> Array:
        return self.gemms + self.core + self.rest


def forward_seconds(case: Case, held: Counts, forward: Forward) -> Compute:
    """A forward pass of one micro-batch; of its layers that compute wide, as if all did, by their share."""
    found, share = _alike(case, held, forward), case.wide_share
    if not np.any(share):
        return found
    wide = _alike(case.computed_wide, held, forward)
    gemms = found.gemms + share * (wide.gemms - found.gemms)
    return replace(found, gemms=gemms)


def _alike(case: Case, held: Counts, forward: Forward) -> Compute:
    """A forward pass of one micro-batch. In decode everything is one stream of bytes: touched weights and KV cache."""
    gpu, precision = case.hardware.gpu, case.workload.precision
    dense = _in(case, "attention", flops.dense_gemms(held, forward))
    routed = _in(case, "experts", flops.expert_gemms(case, held, forward))
    core, cached = flops.core(case, forward), cache_bytes(case, forward)
    touched = touched_fraction(case, forward) if case.model.moe else np.ones_like(case.tp)
    dense_bytes, routed_bytes = held.dense_gemm_bytes, held.moe_gemm_bytes * touched
    launched = KERNELS_PER_LAYER * (case.workload.cuda_graphs == "none" or not case.workload.train)
    launches = KERNEL_LAUNCH_S * launched * case.running.layers
    if forward.phase == "decode":
        moved = dense_bytes + routed_bytes + cached
        nothing = 0 * moved
        return Compute(roofline(dense + routed + core, moved, gpu, precision), nothing, nothing + launches)
    gemms = roofline(dense, dense_bytes, gpu, precision) + roofline(routed, routed_bytes, gpu, precision)
    attention = roofline(core, cached, gpu, case.wide)
    elementwise = roofline(0 * core, elementwise_bytes(case, forward), gpu, precision)
    return Compute(gemms, attention, elementwise + launches)


def _in(case: Case, kind: str, work: Array) -> Array:
    """FLOPs of a class of weights, as many of the plan's own precision as take the same time; dense ones count as attention's."""
    gpu = case.hardware.gpu
    return work * (flops.peak_flops(gpu, case.workload.precision) / flops.peak_flops(gpu, case.products(kind)))


def cache_bytes(case: Case, forward: Forward) -> Array:
    """KV cache that a pass reads, arrays over stages."""
    return forward.sequences * case.running.sum(
        lambda block: cached_bytes(case, block, forward.read) + _state(case, block)
    )


def _state(case: Case, block: Block) -> Array:
    """Bytes of a sequence's state that are read, and written again; of a prompt once."""
    return 2 * local(block.state, case.tp)
