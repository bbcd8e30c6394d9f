"""Muon's own arithmetic: every matrix that a rank updates is made orthogonal by Newton-Schulz, in BF16 products.

A step of it on a matrix of m x n, m the shorter side, is X X^T, A A and B X: 2 m^2 n + 2 m^3 + 2 m^2 n FLOPs (Jordan et al. 2024,
"Muon: An optimizer for hidden layers in neural networks"). A tp rank takes its part of a matrix as a matrix of its own, as
Megatron does unless it is told otherwise (--muon-tp-mode blockwise). Embedding and head are Adam's; queries, keys and values, which
Megatron takes apart, are taken as one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.costs.arrays import Array, ceil_div
from compiler.costs.calibration import GpuCalibration, Kernel
from compiler.costs.case import Case
from compiler.costs.constants import ACTIVATION_BYTES
from compiler.costs.work.flops import peak_flops
from compiler.costs.work.gemms import gemms
from compiler.costs.work.memory import zero
from compiler.costs.work.params import matrices

Matrices = tuple[Array, Array, Array]
"""Both sides of matrices on a rank, and how many of them there are: arrays over stages."""


def seconds(case: Case, gpu: GpuCalibration) -> Array:
    """Of a step, on each stage. A distributed optimizer gives each of its ranks whole matrices, one at least."""
    none = 0.0 * case.running.layers
    if case.workload.optimizer != "muon":
        return none
    curve = gpu.kernel(gpu.gemm, "bf16")
    dense = (((item.n, item.k, item.count), case.adp * case.cp) for item in gemms(case) if item.role != "head")
    found = none
    for (n, k, count), ranks in (*dense, *((item, case.edp) for item in _experts(case))):
        shared = np.maximum(1, ranks / case.copies) if zero(case, 1) else 1.0
        found = found + np.ceil(count / shared) * _matrix(case, curve, n, k)
    return found


def _experts(case: Case) -> Iterator[Matrices]:
    """The first product of an expert, gate and up in one, and the last."""
    model, width = case.model, ceil_div(case.model.expert_size, case.etp)
    if model.moe:
        count = case.running.moe * case.local_experts
        yield (matrices(model) - 1) * width, 0 * width + model.expert_hidden, count
        yield 0 * width + model.expert_hidden, width, count


def _matrix(case: Case, curve: Kernel, n: Array, k: Array) -> Array:
    """All steps of one matrix."""
    short, long, peak = np.minimum(n, k), np.maximum(n, k), case.hardware.gpu
    speed, each = peak_flops(peak, "bf16"), ACTIVATION_BYTES["bf16"] / peak.memory_bandwidth
    tall = curve.seconds(2 * short**2 * long / speed, each * (2 * short * long + short**2), short, short, long)
    square = curve.seconds(2 * short**3 / speed, each * 3 * short**2, short, short, short)
    return np.asarray(case.workload.muon_steps * (2 * tall + square))
