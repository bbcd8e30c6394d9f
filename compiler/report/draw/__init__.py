"""Figures -> SVG: a module works out where everything is, and a template of the same name lays it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.render.engine import markup
from compiler.report.draw import bars, heat, lanes, levels, points, ranks
from compiler.report.figures import Bars, Figure, Heat, Lanes, Levels, Points, RankGrid

DRAWN: dict[type[Figure], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Bars: ("bars", bars.drawn),
    Heat: ("heat", heat.drawn),
    Lanes: ("lanes", lanes.drawn),
    Levels: ("levels", levels.drawn),
    Points: ("points", points.drawn),
    RankGrid: ("ranks", ranks.drawn),
}


def svg(figure: Figure, *, style: object = "") -> str:
    """The element; with `style`, which is written as it is, one that stands alone."""
    template, drawn = DRAWN[type(figure)]
    return markup(f"report/{template}.svg.j2", figure=figure, style=style, **drawn(figure))
