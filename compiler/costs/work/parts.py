"""Seconds of each kind of work in one micro-batch's forward pass, by the curves of a GPU; arrays over stages.

Where parameters are declared beyond what the architecture has, products take as much longer as they are larger.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.calibration import GpuCalibration, Kernel
from compiler.costs.case import Case
from compiler.costs.constants import (
    DROPOUT_PASSES,
    GRAPHED_EXPERTS_S,
    GRAPHED_S,
    KERNELS_OF_LAYER,
    PCIE_BANDWIDTH,
    QUANTISED_S,
    SCORE_PASSES,
    WIDE_HEAD,
)
from compiler.costs.shape import Shape
from compiler.costs.work import flops
from compiler.costs.work.activations import elementwise_bytes, permuted_bytes
from compiler.costs.work.forward import Forward, dispatched, touched_fraction
from compiler.costs.work.gemms import gemms
from compiler.costs.work.memory import on_host
from compiler.costs.work.mixing import cache_bytes, mixing
from compiler.costs.work.params import Counts, matrices, query_width, value_width
from compiler.costs.work.widths import ELEMENT_BYTES
from compiler.frozen import dataclass
from compiler.specs.weights import WIDE


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The words for work that training, prefill and decode share. `launches` is a count of kernels, all else seconds. `products` are dense GEMMs, `grouped` those of routed experts, `core` fused
    attention and `scores` attention that is not; `elementwise` what moves through memory, `permuted` copies of tokens among it.
    """

    products: Array
    grouped: Array
    core: Array
    scores: Array
    elementwise: Array
    launches: Array
    permuted: Array


def parts(plan: Shape, forward: Forward, gpu: GpuCalibration) -> Parts:
    """A forward pass of one micro-batch on each stage; of its layers that compute wide, as if all did, by their share. Weights that
    a server has in the host's memory come over PCIe before their products.
    """
    found, share = _alike(plan.case, plan.held, forward, gpu), plan.case.wide_share
    if plan.case.host_bytes:
        return replace(found, products=found.products + on_host(plan.case, plan.held) / PCIE_BANDWIDTH)
    if not np.any(share):
        return found
    wide = _alike(plan.case.computed_wide, plan.held, forward, gpu)
    mixed = {item.name: (getattr(found, item.name), getattr(wide, item.name)) for item in fields(Parts)}
    return Parts(**{name: narrow + share * (other - narrow) for name, (narrow, other) in mixed.items()})


def _alike(case: Case, held: Counts, forward: Forward, gpu: GpuCalibration) -> Parts:
    """The same where all layers compute alike."""
    peak = case.hardware.gpu
    products, launches = _products(case, held, forward, gpu)
    core, scores = (
        _attention(case, forward, gpu) if case.workload.train else (mixing(case, forward, gpu), 0 * case.running.layers)
    )
    grouped = _grouped(case, held, forward, gpu)
    elementwise = elementwise_bytes(case, forward) / peak.memory_bandwidth
    launches = launches + KERNELS_OF_LAYER * case.running.layers
    permuted = permuted_bytes(case, forward) / peak.memory_bandwidth
    found = {"products": products, "grouped": grouped, "core": core, "scores": scores}
    found |= {"elementwise": elementwise, "launches": launches, "permuted": permuted}
    return Parts(**{name: part + 0 * case.running.layers for name, part in found.items()})


def _attention(case: Case, forward: Forward, gpu: GpuCalibration) -> tuple[Array, Array]:
    """Of training: seconds of the fused core, or of the one that is not: plain products and passes over all scores, masked or not."""
    peak, precision = case.hardware.gpu, case.wide
    speed = flops.peak_flops(peak, precision)
    narrow = np.sqrt(WIDE_HEAD / min(WIDE_HEAD, max(1, value_width(case.model))))
    fused = narrow * flops.core(case, forward)
    if case.workload.fused_attention:
        return np.maximum(fused / speed, cache_bytes(case, forward) / peak.memory_bandwidth), 0 * fused
    heads = np.ceil(case.model.num_attention_heads / case.tp)
    pairs = heads * forward.tokens * 2 * forward.met(None) * case.running.layers
    passes = SCORE_PASSES + (0.0 if case.model.gated_mlp else DROPOUT_PASSES)
    work = 2 * (query_width(case.model) + value_width(case.model)) * pairs / gpu.kernel(gpu.gemm, precision).efficiency
    return 0 * fused, work / speed + passes * case.activation_bytes * pairs / peak.memory_bandwidth


def _products(case: Case, held: Counts, forward: Forward, gpu: GpuCalibration) -> tuple[Array, Array]:
    """Seconds, and the number of products."""
    peak = case.hardware.gpu
    seconds = busy = launches = weights = 0 * case.running.layers
    for item in gemms(case):
        precision = case.products(item.role)
        weight, size = case.read_bytes(item.role), ELEMENT_BYTES[precision]
        curve = gpu.kernel(gpu.gemm, case.multiplied(item.role), weight)
        work = 2 * forward.tokens * item.n * item.k / flops.peak_flops(peak, precision)
        moved = item.k * (weight * item.n + size * forward.tokens) + 2 * forward.tokens * item.n
        moved = moved / peak.memory_bandwidth
        each = curve.seconds(work, moved, forward.tokens, forward.tokens, item.n, item.k)
        graphed = GRAPHED_S + QUANTISED_S * (precision not in WIDE)
        seconds = seconds + item.count * _beyond(case, curve, each, graphed)
        busy = busy + item.count * np.maximum(each - curve.launch_s, 0.0)
        launches = launches + item.count
        weights = weights + item.count * item.n * item.k
    declared = np.maximum(1.0, held.dense_gemm / np.maximum(weights, 1)) - 1.0  # more weights, in no more kernels
    return seconds + declared * busy, launches


def _beyond(case: Case, curve: Kernel, seconds: Array, graphed: float) -> Array:
    """Training counts a kernel's launch with all others that the host makes. A server's curves have it, but what follows one upon
    the other in a captured graph takes no longer than `graphed`, that of the quickest of them.
    """
    return np.maximum(seconds - (curve.launch_s if case.workload.train else max(0.0, curve.launch_s - graphed)), 0.0)


def _grouped(case: Case, held: Counts, forward: Forward, gpu: GpuCalibration) -> Array:
    """Gate, up and down of the busiest rank's experts; without their launch."""
    if not case.model.moe:
        return 0 * case.running.layers
    peak, model = case.hardware.gpu, case.model
    weight_bytes = case.read_bytes("experts")
    curve = gpu.kernel(gpu.grouped or gpu.gemm, case.multiplied("experts"), weight_bytes)
    pairs = dispatched(case, forward) * case.workload.imbalance
    width = np.ceil(model.expert_size / case.etp)
    hidden = model.expert_hidden
    work = 2 * matrices(model) * pairs * hidden * width / flops.peak_flops(peak, case.arithmetic("experts"))
    touched = touched_fraction(case, forward) * case.local_experts
    moved = weight_bytes * matrices(model) * touched * hidden * width + pairs * (4 * hidden + 6 * width)
    rows = pairs / case.local_experts
    each = curve.seconds(work, moved / peak.memory_bandwidth, rows, rows, touched, hidden * width)
    busy = np.maximum(each - curve.launch_s, 0.0)
    derived = case.running.moe * case.local_experts * matrices(model) * hidden * width
    declared = np.maximum(1.0, held.moe_gemm / np.maximum(derived, 1)) - 1.0
    return case.running.moe * (_beyond(case, curve, each, GRAPHED_EXPERTS_S) + declared * busy)
