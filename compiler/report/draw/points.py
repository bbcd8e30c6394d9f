"""Plans as points over two figures: the front joined, limits as lines, intervals as whiskers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.report.draw.scale import WIDTH, Scale, legend, said
from compiler.report.figures import Point, Points
from compiler.report.told import marks

HIGH, TOP, LEFT, RIGHT = 320, 12, 84, WIDTH - 20
NAMED, ROOM = 12, 200
"""Points of the front whose names are written beside them, where they are no more; and the room that a name has."""


def drawn(figure: Points) -> dict[str, Any]:
    """Where everything is."""
    x, y = _scales(figure)
    shown = [point for point in figure.points if point.x.value is not None and point.y.value is not None]
    front = sorted((point for point in shown if point.front), key=lambda point: point.x.value or 0.0)
    keys, height = legend(list(_keys(shown)), TOP + HIGH + 62)
    return {
        "height": height,
        "left": LEFT,
        "right": RIGHT,
        "bottom": TOP + HIGH,
        "points": [
            _point(figure, point, x, y, named=len(front) <= NAMED)
            for point in sorted(shown, key=lambda point: (point.front, point.measured))
        ],
        "front": " ".join(f"{x(point.x.value or 0.0)},{y(point.y.value or 0.0)}" for point in front),
        "xticks": x.ticks(figure.x_unit),
        "yticks": y.ticks(figure.y_unit),
        "limits": [_limit(figure, name, axis, x if axis == "x" else y, value) for name, axis, value in figure.limits],
        "legend": keys,
    }


def _scales(figure: Points) -> tuple[Scale, Scale]:
    """Both from zero, a little beyond what there is."""

    def most(axis: str) -> float:
        values = [getattr(point, axis).value or 0.0 for point in figure.points]
        values += [value for _, along, value in figure.limits if along == axis]
        values += [_value(point.around[1]) for point in figure.points if point.around and figure.along == axis]
        return max(values, default=1.0) * 1.06 or 1.0

    return Scale(0, most("x"), LEFT, RIGHT), Scale(0, most("y"), TOP + HIGH, TOP)


def _limit(figure: Points, name: str, axis: str, scale: Scale, value: float) -> dict[str, Any]:
    at = scale(value)
    unit = figure.x_unit if axis == "x" else figure.y_unit
    return {"along": axis, "at": at, "said": f"{name} {said(value, unit)}", "left": at > RIGHT - ROOM}


def _point(figure: Points, point: Point, x: Scale, y: Scale, *, named: bool) -> dict[str, Any]:
    at = x(_value(point.x)), y(_value(point.y))
    ends = point.around or ()
    return {
        "x": at[0],
        "y": at[1],
        "color": 2 if point.measured else 1 if point.front else 0,
        "measured": point.measured,
        "whisker": _whisker(figure, at, [(x if figure.along == "x" else y)(_value(end)) for end in ends]),
        "said": _words(figure, point),
        "name": (point.name or point.label) if point.front and named else "",
        "left": at[0] > RIGHT - ROOM,
        "marks": marks(sum((number.of for number in (point.x, point.y, *ends)), ())),
    }


def _whisker(figure: Points, at: tuple[float, float], ends: list[float]) -> str:
    """A path between both ends, with a stroke across each; empty where nobody knows them."""
    if not ends:
        return ""
    (x, y), (low, high) = (round(at[0], 2), round(at[1], 2)), ends
    if figure.along == "x":
        return f"M{low} {y - 4:g}v8M{low} {y}H{high}M{high} {y - 4:g}v8"
    return f"M{x - 4:g} {low}h8M{x} {low}V{high}M{x - 4:g} {high}h8"


def _words(figure: Points, point: Point) -> str:
    said_x, said_y = said(point.x.value, figure.x_unit), said(point.y.value, figure.y_unit)
    if point.around:
        unit = figure.x_unit if figure.along == "x" else figure.y_unit
        around = f" ({' to '.join(said(end.value, unit) for end in point.around)})"
        said_x, said_y = (said_x + around, said_y) if figure.along == "x" else (said_x, said_y + around)
    return f"{point.label}: {figure.x} {said_x}, {figure.y} {said_y}"


def _value(number: Any) -> float:
    return number.value or 0.0


def _keys(points: list[Point]) -> Iterator[tuple[int, str]]:
    if any(not point.front and not point.measured for point in points):
        yield 0, "plans"
    if any(point.front for point in points):
        yield 1, "none is better in both"
    if any(point.measured for point in points):
        yield 2, "measured runs"
