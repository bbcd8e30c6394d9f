"""Numbers as they are written: to files, and for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

DIGITS = 9
"""That count of a figure in what is written. numpy's last digits differ by its release and by the processor; no projection
is that exact."""


def figures(value: Any) -> Any:
    """A dictionary with its floats cut to the digits that count, and None in the place of what is no number."""
    if isinstance(value, dict):
        return {key: figures(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [figures(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def whole(text: str) -> int | None:
    """The whole number that a text is: up to 18 digits of ASCII, so that it fits 64 bits; None where it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def finite(text: str) -> float | None:
    """The number that a text is; None where it is none, or has no end."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that reads digits as numbers, so that node7 comes before node66. Ours, and not natsort's: the cluster's own
    (`runtime/planned.py`, without any package) must sort alike.
    """
    return tuple(
        (0, int(part), "") if "0" <= part[0] <= "9" else (1, 0, part) for part in re.split(r"([0-9]+)", text) if part
    )


def readable(value: Any) -> str:
    """A count: 4.429B, 25.39M, 1,024, 2.5; whatever is no number as it is."""
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= unit:
            return f"{value / unit:,.4g}{name}"
    return f"{value:,.4g}" if isinstance(value, float) and not value.is_integer() else f"{int(value):,}"


def seconds(value: float | None) -> str:
    """A time with a unit that suits it."""
    if value is None:
        return "unknown"
    if value >= 1000:
        return f"{value:,.0f} s"
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return "0 s" if value == 0 else f"{value:.1g} s"


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def gigabytes(value: float) -> str:
    """Bytes in GB, 10^9."""
    return f"{value / 1e9:.3f} GB"


def size(value: float | None) -> str:
    """Bytes with a unit that suits them, 10^3 and its powers."""
    if value is None:
        return "unknown"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= unit:
            return f"{value / unit:.4g} {name}"
    return f"{readable(value)} B" if value else "0"


def several(count: int, noun: str) -> str:
    """`1 rank`, `1,024 ranks`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def called(kind: str, name: str) -> str:
    """`leaf 0`, and `leaf07` where the name says so itself."""
    return name if name.startswith(kind) else f"{kind} {name}"


def count(words: Iterable[str]) -> str:
    """How often each word comes, in the order of first appearance: `40 pass, 3 warn`."""
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return ", ".join(f"{times} {word}" for word, times in sorted(found.items()))
