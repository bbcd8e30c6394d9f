"""Curves of engines' own kernels, `conf/calibration/kernels/<gpu>.yaml`, beside those that any GPU has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

from compiler.costs.calibration import GpuCalibration, KernelCurve, Measured
from compiler.costs.grid import Grid
from compiler.inputs import yaml_mapping
from compiler.render.assets import folder

FOLDER = folder("conf") / "calibration" / "kernels"

ORDER = ("trtllm", "vllm", "sglang")
"""Engines whose kernels stand in for those that another was not measured with, best first: they are mostly the same libraries."""

NAMES = tuple(item.name for item in fields(KernelCurve))


@cache
def engines(gpu: str) -> Mapping[str, Any]:
    """Engine -> section -> name -> curve; empty for a GPU whose kernels nobody measured."""
    path = FOLDER / f"{gpu}.yaml"
    return yaml_mapping.read(path.name, path.read_text(encoding="utf-8"), known=True) if path.is_file() else {}


@cache
def sections(gpu: str, engine: str) -> Mapping[str, Mapping[str, Measured]]:
    """Section -> name -> curve: an engine's own, and others' where it has none."""
    found: dict[str, dict[str, Measured]] = {}
    known = engines(gpu)
    for name in reversed([engine, *(other for other in ORDER if other != engine)]):
        for section, curves in known.get(name, {}).items():
            found.setdefault(section, {}).update((key, _curve(value)) for key, value in curves.items())
    return found


def _curve(found: Mapping[str, Any]) -> Measured:
    axes = tuple(tuple(map(float, axis.split())) for axis in found["axes"].split(";"))
    grid = Grid(axes, tuple(map(float, found["shape"].split())))
    return Measured(KernelCurve(**{name: float(found[name]) for name in NAMES}), grid)


def on(curves: GpuCalibration, gpu: str, engine: str, shipped: GpuCalibration) -> GpuCalibration:
    """With an engine's kernels on a GPU. What a site has measured anew, and is not as `shipped`, stays the site's."""
    found = sections(gpu, engine)
    if not found:
        return curves
    gemm = {**found.get("gemm", {}), **_anew(curves.gemm, shipped.gemm)}
    grouped = {**found.get("grouped", {}), **_anew(curves.grouped, shipped.grouped)}
    joined = None if "all_reduce" in _anew(curves.links, shipped.links) else found.get("joined", {}).get("all_reduce")
    return replace(
        curves,
        gemm=gemm or curves.gemm,
        grouped=grouped or curves.grouped,
        core=found.get("core", {}),
        joined=joined,
    )


def _anew(own: Mapping[str, Any], shipped: Mapping[str, Any]) -> dict[str, Any]:
    return {name: curve for name, curve in own.items() if curve != shipped.get(name)}
