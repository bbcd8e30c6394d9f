"""Figures of a cost as they leave: whole bytes and counts, and None in the place of what is no number."""

from __future__ import annotations

import math
from typing import Any

COUNTED = ("_bytes", "bytes_per_rank", "bytes_per_call", "count")
"""Endings of keys whose numbers are whole."""


def whole(value: float | None) -> int | None:
    """The nearest whole number; None where there is none."""
    return round(value) if value is not None and math.isfinite(value) else None


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """Bytes and counts as whole numbers, and None in the place of numbers that are not finite."""
    return {key: _number(key, value) for key, value in found.items()}


def _number(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if not isinstance(value, float):
        return value
    if key.endswith(COUNTED):
        return whole(value)
    return value if math.isfinite(value) else None
