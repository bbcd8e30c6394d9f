"""Plans as points over two figures: the front joined, limits as lines, intervals as whiskers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.report.draw.scale import WIDTH, Scale, legend, said
from compiler.report.figures import Point, Points
from compiler.report.told import marks

HIGH, TOP, LEFT = 320, 12, 84
NAMED = 12
"""Points of the front whose names are written beside them, where they are no more."""


def drawn(figure: Points) -> dict[str, Any]:
    """Where everything is."""
    x, y = _scales(figure)
    front = sorted((point for point in figure.points if point.front), key=lambda point: point.x.value or 0.0)
    shown = [point for point in figure.points if point.x.value is not None and point.y.value is not None]
    named = {point.label for point in front} if len(front) <= NAMED else set()
    keys, height = legend(list(_keys(figure)), TOP + HIGH + 58)
    return {
        "height": height,
        "left": LEFT,
        "bottom": TOP + HIGH,
        "points": [_point(figure, point, x, y, named) for point in sorted(shown, key=lambda point: point.front)],
        "front": " ".join(f"{x(point.x.value or 0.0)},{y(point.y.value or 0.0)}" for point in front),
        "xticks": x.ticks(figure.x_unit),
        "yticks": y.ticks(figure.y_unit),
        "limits": [
            {
                "along": axis,
                "at": (x if axis == "x" else y)(value),
                "said": f"{name} {said(value, figure.x_unit if axis == 'x' else figure.y_unit)}",
            }
            for name, axis, value in figure.limits
        ],
        "legend": keys,
    }


def _scales(figure: Points) -> tuple[Scale, Scale]:
    """Both from zero, a little beyond what there is."""

    def most(axis: str) -> float:
        values = [getattr(point, axis).value or 0.0 for point in figure.points]
        values += [value for _, along, value in figure.limits if along == axis]
        values += [point.x_high or 0.0 for point in figure.points] if axis == "x" else []
        return max(values, default=1.0) * 1.06 or 1.0

    return Scale(0, most("x"), LEFT, WIDTH - 20), Scale(0, most("y"), TOP + HIGH, TOP)


def _point(figure: Points, point: Point, x: Scale, y: Scale, named: set[str]) -> dict[str, Any]:
    across = said(point.x.value, figure.x_unit)
    known = point.x_low is not None and point.x_high is not None
    return {
        "x": x(point.x.value or 0.0),
        "y": y(point.y.value or 0.0),
        "color": 2 if point.measured else 1 if point.front else 0,
        "measured": point.measured,
        "whisker": (x(point.x_low or 0.0), x(point.x_high or 0.0)) if known else None,
        "said": f"{point.label}: {figure.x} {across}, {figure.y} {said(point.y.value, figure.y_unit)}",
        "name": point.label if point.label in named and not point.measured else "",
        "marks": marks(point.x.of + point.y.of),
    }


def _keys(figure: Points) -> Iterator[tuple[int, str]]:
    if any(not point.front and not point.measured for point in figure.points):
        yield 0, "plans"
    if any(point.front for point in figure.points):
        yield 1, "none is better in both"
    if any(point.measured for point in figure.points):
        yield 2, "measured runs near by"
