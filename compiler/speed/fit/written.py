"""Fitted curves as they stand in a calibration file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any


def plain(curve: Any, error: float, rows: dict[str, Any]) -> dict[str, Any]:
    """Four figures of each constant, whole numbers as they are; the mean error, and the rows it was fitted to."""
    found: dict[str, Any] = {}
    for key, value in asdict(curve).items():
        if isinstance(value, tuple):
            found[key] = [figures(x) for x in value]
        else:
            found[key] = value if isinstance(value, int) else figures(value)
    return {**found, "mean_error": round(error, 4), "rows": rows}


def figures(value: float) -> float:
    return float(f"{value:.4g}")


def digest(texts: Sequence[str]) -> dict[str, Any]:
    """How many rows, and the hash of them."""
    return {"count": len(texts), "sha256": hashlib.sha256("\n".join(texts).encode()).hexdigest()}
