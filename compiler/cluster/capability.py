"""CUDA's compute capability of a GPU, which kernels and defaults of servers are chosen by."""

from __future__ import annotations

import re

from compiler.specs.hardware import Gpu

BY_NAME = (
    (r"\bG?B300\b", (10, 3)),
    (r"\bG?B200\b", (10, 0)),
    (r"RTX PRO|RTX 50|\bGB10\b", (12, 0)),
    (r"\b(H100|H200|H800|H20|GH200)\b", (9, 0)),
    (r"\b(L4|L40S?|RTX 40\d\d|Ada)\b", (8, 9)),
    (r"\b(A100|A800)\b", (8, 0)),
)
"""NVIDIA's table of CUDA GPUs."""


def capability(gpu: Gpu) -> tuple[int, int] | None:
    """By its name, else by the units that it has; None for a GPU that is not NVIDIA's."""
    if re.search(r"\b(AMD|Instinct|MI\d+\w*)\b", gpu.name):
        return None
    for pattern, found in BY_NAME:
        if re.search(pattern, gpu.name, re.IGNORECASE):
            return found
    peak = gpu.peak_flops
    return (10, 0) if peak.fp4 is not None else (9, 0) if peak.fp8 is not None else (8, 0)
