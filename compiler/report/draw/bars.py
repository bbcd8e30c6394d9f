"""Stacked bars under each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.report.draw.scale import LETTER, WIDTH, Scale, color, legend, said
from compiler.report.figures import Bar, Bars
from compiler.report.told import marks

BAR, GAP, TOP = 20, 12, 26
"""Heights of a bar, of the space between two, and of what is above the first."""
RIGHT = 100
"""Width of the column of totals, apart from the bars: beside a whisker's end one would read as its value."""


def drawn(figure: Bars) -> dict[str, Any]:
    """Where everything is."""
    names = list(dict.fromkeys(part.name for bar in figure.bars for part in bar.parts if part.value))
    left = min(200.0, 14 + LETTER * max((len(bar.label) for bar in figure.bars), default=0))
    most = max((value for bar in figure.bars for value in _reaching(bar)), default=1.0)
    limit = figure.limit.value if figure.limit else None
    scale = Scale(0, max(most, limit or 0.0) * 1.01 or 1.0, left, WIDTH - RIGHT)
    bottom = TOP + (BAR + GAP) * len(figure.bars)
    keys, height = legend(((color(index), name) for index, name in enumerate(names)), bottom + 34)
    return {
        "height": height,
        "bottom": bottom,
        "left": left,
        "bars": [
            _bar(bar, TOP + (BAR + GAP) * index, scale, names, figure.unit) for index, bar in enumerate(figure.bars)
        ],
        "limit": None if limit is None else _limit(figure, limit, scale),
        "ticks": scale.ticks(figure.unit),
        "legend": keys,
    }


def _reaching(bar: Bar) -> Iterator[float]:
    yield _total(bar)
    yield (bar.high.value if bar.high else None) or 0.0


def _total(bar: Bar) -> float:
    return sum(part.value or 0.0 for part in bar.parts)


def _bar(bar: Bar, y: float, scale: Scale, names: list[str], unit: str) -> dict[str, Any]:
    total = _total(bar)
    return {
        "label": bar.label,
        "y": y,
        "parts": list(_parts(bar, scale, names, unit)),
        "total": said(total, unit),
        "whisker": _whisker(bar, scale, unit),
        "marks": marks((bar.low.of if bar.low else ()) + (bar.high.of if bar.high else ())),
    }


def _whisker(bar: Bar, scale: Scale, unit: str) -> tuple[float, float, str] | None:
    """Both ends and their words; None where nobody knows them."""
    low, high = ((end.value if end else None) for end in (bar.low, bar.high))
    if low is None or high is None:
        return None
    return scale(low), scale(high), f"{said(low, unit)} to {said(high, unit)}"


def _parts(bar: Bar, scale: Scale, names: list[str], unit: str) -> Iterator[dict[str, Any]]:
    at = 0.0
    for part in bar.parts:
        if part.value:
            start, end = scale(at), scale(at + part.value)
            yield {
                "x": start,
                "width": round(end - start, 2),
                "color": color(names.index(part.name)),
                "said": f"{part.name}: {said(part.value, unit)}",
                "marks": marks(part.of),
            }
            at += part.value


def _limit(figure: Bars, limit: float, scale: Scale) -> dict[str, Any]:
    """A line over all bars; its words end at it, so that they stay within the figure."""
    number = figure.limit
    return {
        "x": scale(limit),
        "said": f"{number.name} {said(limit, figure.unit)}" if number else "",
        "marks": marks(number.of) if number else "",
    }
