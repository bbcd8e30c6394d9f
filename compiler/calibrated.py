"""Read calibration files into frozen values; the cost model itself reads no file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from compiler.costs.calibration import GpuCalibration, KernelCurve, LinkCurve
from compiler.render.assets import folder

KIN = {
    "a100_40gb": "a100_80gb",
    "h100_96gb": "h100_80gb",
    "h800": "h100_80gb",
    "b300": "b200",
    "gb300_nvl72": "gb200_nvl72",
    "rtx_pro_6000": "b200",
}
"""Hardware without measurements of its own -> the nearest kin's file; fractions of peak carry over."""


def load(path: Path) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (the safe loader, in C)
    return found


@cache
def gpu(name: str) -> GpuCalibration | None:
    """Curves of the hardware of that name; None where it was not measured, nor any kin of it."""
    path = folder("conf") / "calibration" / f"{KIN.get(name, name)}.yaml"
    if not path.is_file():
        return None
    found = load(path)
    return GpuCalibration(
        name=found["name"],
        gemm={key: _curve(KernelCurve, value) for key, value in found.get("gemm", {}).items()},
        grouped={key: _curve(KernelCurve, value) for key, value in found.get("grouped", {}).items()},
        links={key: _curve(LinkCurve, value) for key, value in found.get("links", {}).items()},
    )


def _curve(kind: Any, values: dict[str, Any]) -> Any:
    """A curve from its constants; errors and rows in the file are for people."""
    known = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return kind(**{key: value for key, value in known.items() if key in kind.__dataclass_fields__})
