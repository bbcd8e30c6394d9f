"""What a cluster's GPU is to software that asks it: a maker, and the capability by which kernels are chosen."""

from __future__ import annotations

import re

from compiler.frozen import dataclass
from compiler.specs.hardware import Gpu

CAPABILITIES: tuple[tuple[str, tuple[int, int], str], ...] = (
    ("a100|a800|a30", (8, 0), ""),
    ("a10g?|a40|a6000|rtx 30[0-9]{2}|3090", (8, 6), ""),
    ("l4|l20|l40s?|rtx 40[0-9]{2}|4090|ada", (8, 9), ""),
    ("h100|h200|h800|h20|gh200", (9, 0), ""),
    ("b100|b200|gb200", (10, 0), ""),
    ("b300|gb300", (10, 3), ""),
    ("rubin|vr200", (10, 7), ""),
    ("rtx pro [0-9]{4}|rtx 50[0-9]{2}|5090|gb10", (12, 0), ""),
    ("mi300[ax]?|mi308x?|mi325x?", (9, 4), "gfx942"),
    ("mi350x?|mi355x?", (9, 5), "gfx950"),
    ("mi2[0-9]{2}x?", (9, 0), "gfx90a"),
    ("amd|instinct|radeon|mi[0-9]+[a-z]*", (9, 4), "gfx942"),
)
"""Words in a GPU's name -> CUDA's compute capability (developer.nvidia.com/cuda-gpus; Rubin's is assumed), or what torch says in its
place of AMD's architecture, which follows; of AMD's others the MI300's is assumed. The first line that fits holds.
"""


@dataclass(frozen=True)
class Device:
    """`arch` is AMD's name of an architecture, empty where the GPU is NVIDIA's."""

    name: str
    capability: tuple[int, int]
    arch: str = ""

    @property
    def amd(self) -> bool:
        return bool(self.arch)

    def generation(self, *majors: int) -> bool:
        """Whether it is NVIDIA's, of one of some major capabilities: 9 is Hopper, 10 Blackwell in data centres."""
        return not self.amd and self.capability[0] in majors


def device(gpu: Gpu) -> Device:
    """A GPU by its name; where that is not known, NVIDIA's of the formats that it computes in."""
    name = gpu.name
    for words, capability, arch in CAPABILITIES:
        if re.search(rf"(?<![a-z0-9])({words})(?![a-z0-9])", name.lower()):
            return Device(name, capability, arch)
    rates = gpu.peak_flops
    return Device(name, (10, 0) if rates.fp4 else (9, 0) if rates.fp8 else (8, 0))
