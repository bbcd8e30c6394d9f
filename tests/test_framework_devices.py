"""What a GPU's name says of it: its maker, and the capability by which kernels are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.frameworks.devices import device
from tests.configs import composed

NVIDIA = {
    "NVIDIA A100-SXM4-80GB": (8, 0),
    "NVIDIA A800": (8, 0),
    "NVIDIA A10": (8, 6),
    "NVIDIA A10G": (8, 6),
    "NVIDIA A40": (8, 6),
    "NVIDIA RTX A6000": (8, 6),
    "NVIDIA GeForce RTX 3090": (8, 6),
    "NVIDIA L4": (8, 9),
    "NVIDIA L20": (8, 9),
    "NVIDIA L40S": (8, 9),
    "NVIDIA RTX 6000 Ada Generation": (8, 9),
    "NVIDIA GeForce RTX 4090": (8, 9),
    "NVIDIA H100 80GB HBM3": (9, 0),
    "NVIDIA H20": (9, 0),
    "NVIDIA GH200 480GB": (9, 0),
    "NVIDIA B200": (10, 0),
    "NVIDIA GB200": (10, 0),
    "NVIDIA GB300": (10, 3),
    "NVIDIA Rubin": (10, 7),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": (12, 0),
    "NVIDIA GeForce RTX 5080": (12, 0),
    "NVIDIA GB10": (12, 0),
}
AMD = {
    "AMD Instinct MI250X": "gfx90a",
    "AMD Instinct MI300X": "gfx942",
    "AMD Instinct MI308X": "gfx942",
    "MI325X": "gfx942",
    "AMD Instinct MI355X": "gfx950",
    "AMD Radeon PRO W7900": "gfx942",
    "AMD MI430X": "gfx942",
}
GPU = composed("hardware=a100_80gb").hardware.gpu


@pytest.mark.parametrize("name", NVIDIA)
def test_capability_of_an_nvidia_gpu(name: str) -> None:
    found = device(replace(GPU, name=name))
    assert (found.capability, found.amd) == (NVIDIA[name], False)


@pytest.mark.parametrize("name", AMD)
def test_architecture_of_an_amd_gpu(name: str) -> None:
    found = device(replace(GPU, name=name))
    assert (found.arch, found.amd, found.generation(9)) == (AMD[name], True, False)


def test_an_unknown_gpu_is_known_by_what_it_computes_in() -> None:
    rates = GPU.peak_flops
    for more, expected in (({}, (8, 0)), ({"fp8": 2e15}, (9, 0)), ({"fp8": 2e15, "fp4": 4e15}, (10, 0))):
        gpu = replace(GPU, name="generic", peak_flops=replace(rates, **{"fp8": None, "fp4": None, **more}))
        assert device(gpu).capability == expected
