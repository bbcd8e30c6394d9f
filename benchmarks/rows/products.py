"""A dense product as its points are: which precision, and what it computes and reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.rows.operation import Table, timed
from benchmarks.rows.record import Row
from compiler.costs.work.flops import peak_flops
from compiler.specs.hardware import Hardware
from compiler.speed.fit.grids import Calls

PRECISIONS: Mapping[str, tuple[str, float, str]] = {
    "bfloat16": ("bf16", 2.0, "bf16"),
    "fp8": ("fp8", 1.0, "fp8"),
    "fp8_block": ("fp8_block", 1.0, "fp8"),
    "nvfp4": ("nvfp4", 0.5625, "nvfp4"),
    "int4_wo": ("w4a16", 0.5625, "bf16"),
    "w4a16_mxfp4": ("mxfp4", 0.5625, "bf16"),
    "w4a8_mxfp4_mxfp8": ("w4a8", 0.5625, "fp8"),
}
"""Measured precision -> what its curve is called, bytes of a weight, and what multiplies. Four bits have a scale for 16 elements, as
costs count them all.
"""


def product(t: Table, name: str, on: Hardware) -> Calls:
    m, n, k = t["m"], t["n"], t["k"]
    _, weight, unit = form(name)
    work = 2 * m * n * k / peak_flops(on.gpu, unit)
    moved = (k * (weight * n + element(unit) * m) + 2 * m * n) / on.gpu.memory_bandwidth
    return timed(work, moved, m, t, m, n, k)


def form(precision: str) -> tuple[str, float, str]:
    """By the name of its curve."""
    return next(found for found in PRECISIONS.values() if found[0] == precision)


def element(unit: str) -> float:
    return {"bf16": 2.0, "fp8": 1.0, "nvfp4": 0.5625}[unit]


def precision(key: str) -> Callable[[Row], str]:
    return lambda row: PRECISIONS[row[key]][0] if row[key] in PRECISIONS else ""
