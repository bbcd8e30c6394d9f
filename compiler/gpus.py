"""Which GPU a cluster has, of those that were measured: constants are kept by the names of our cluster files."""

from __future__ import annotations

import re
from functools import cache

from compiler.costs.calibration import GpuCalibration
from compiler.render.assets import folder
from compiler.specs.hardware import Hardware

GENERATIONS = {
    "ampere": ("a100", "a800"),
    "hopper": ("h100", "h200", "h800", "h20", "gh200"),
    "blackwell": ("b200", "b300", "gb200", "gb300"),
}
"""Cluster files by the architecture of their GPU, to the first underscore of their name."""


def generation(hardware: str) -> str:
    """The architecture of a cluster's GPU; empty where it is not known."""
    name = hardware.partition("_")[0]
    return next((key for key, names in GENERATIONS.items() if name in names), "")


def on(hardware: str, curves: GpuCalibration) -> GpuCalibration:
    """Curves on a cluster, maybe of another GPU: no switch reduced before Hopper's (NVLS, NCCL 2.17)."""
    later = generation(hardware) == "ampere" != generation(curves.name)
    return curves.without_switch() if later else curves


def measured_as(hardware: Hardware) -> str:
    """The cluster file that has this GPU, by `gpu.name`: a copy of it may be called otherwise. Of a GPU that no file has, its
    architecture's name where it says one that the cluster's name does not; else the cluster's name.
    """
    if _gpu(hardware.name) == hardware.gpu.name:
        return hardware.name
    files = sorted(path.stem for path in (folder("conf") / "hardware").glob("*.yaml"))
    if same := next((name for name in files if _gpu(name) == hardware.gpu.name), None):
        return same
    words = re.findall(r"[a-z]+[0-9]+", hardware.gpu.name.lower())
    said = next((word for word in words if generation(word)), hardware.name)
    return hardware.name if generation(said) == generation(hardware.name) else said


@cache
def _gpu(name: str) -> str | None:
    """`gpu.name` of a cluster file of ours; None where there is no such file."""
    path = folder("conf") / "hardware" / f"{name}.yaml"
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        return None
    found = re.search(r"^gpu:\n  name: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else None
