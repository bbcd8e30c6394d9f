"""Efficiency curves of GEMMs and grouped GEMMs, fitted to their measured times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.calibration import KernelCurve
from compiler.specs.hardware import Gpu
from compiler.speed.fit.least_squares import minimise

WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0, "fp8_block": 1.0, "nvfp4": 0.5625}
PEAKS = {"bf16": "bf16", "fp8": "fp8", "fp8_block": "fp8", "nvfp4": "fp4"}
"""Measured precision -> bytes of a weight, and the unit that multiplies."""

Sample = Mapping[str, float]


def peak(gpu: Gpu, precision: str) -> float:
    return float(getattr(gpu.peak_flops, PEAKS[precision]))


def _columns(samples: Sequence[Sample], *names: str) -> list[Array]:
    return [np.array([sample[name] for sample in samples]) for name in names]


def _fit(start: KernelCurve, arithmetic: Array, moved: Array, rows: Array, seconds: Array) -> tuple[KernelCurve, float]:
    """The curve in the logarithms of its constants, weakly held near `start`; and its mean absolute relative error."""

    def curve(x: Array) -> KernelCurve:
        efficiency, memory, launch, sharpness = (float(value) for value in np.exp(x[:4]))
        return KernelCurve(efficiency, memory, launch, sharpness, float(np.exp(x[4])) if len(x) > 4 else 0.0)

    names = ["efficiency", "memory_efficiency", "launch_s", "sharpness"] + ["half_rows"] * (start.half_rows > 0)
    first = np.log([getattr(start, name) for name in names])
    spread = np.array([1.0, 1.0, 2.0, 0.7, 2.0])[: len(first)]
    x = minimise(lambda x: np.log(curve(x).seconds(arithmetic, moved, rows) / seconds), first, 3 * spread)
    best = curve(x)
    return best, float(np.abs(best.seconds(arithmetic, moved, rows) / seconds - 1).mean())


def gemm(samples: Sequence[Sample], gpu: Gpu, precision: str) -> tuple[KernelCurve, float]:
    """Samples of m, n, k and seconds."""
    m, n, k, seconds = _columns(samples, "m", "n", "k", "seconds")
    weight = WEIGHT_BYTES[precision]
    arithmetic = 2 * m * n * k / peak(gpu, precision)
    moved = (weight * (n * k + m * k) + 2 * m * n) / gpu.memory_bandwidth
    return _fit(KernelCurve(0.7, 0.7, 5e-6, 2.0), arithmetic, moved, m, seconds)


def grouped(samples: Sequence[Sample], gpu: Gpu, precision: str) -> tuple[KernelCurve, float]:
    """Samples of tokens, hidden, inter, topk, experts, ep and seconds: gate, up and down of balanced experts."""
    tokens, hidden, inter, topk, experts, ep = _columns(samples, "tokens", "hidden", "inter", "topk", "experts", "ep")
    seconds = _columns(samples, "seconds")[0]
    local, pairs = experts / ep, tokens * topk / ep
    touched = local * (1 - (1 - topk / experts) ** tokens)
    arithmetic = 6 * pairs * hidden * inter / peak(gpu, precision)
    moved = 3 * touched * hidden * inter * WEIGHT_BYTES[precision] + pairs * (4 * hidden + 6 * inter)
    return _fit(
        KernelCurve(0.6, 0.7, 3e-5, 2.0, 30.0), arithmetic, moved / gpu.memory_bandwidth, pairs / local, seconds
    )
