"""Series beside each other: bars over an axis, a colour each."""

from __future__ import annotations

import math
from typing import Any

from compiler.report.draw.scale import WIDTH, Scale, color, legend, said
from compiler.report.figures import Levels
from compiler.report.told import marks

HIGH, TOP, LEFT = 180, 12, 48


def drawn(figure: Levels) -> dict[str, Any]:
    """Where everything is."""
    count = max(1, len(figure.labels))
    most = max((number.value or 0.0 for one in figure.series for number in one.values), default=1.0)
    scale = Scale(0, most * 1.05 or 1.0, TOP + HIGH, TOP)
    wide = (WIDTH - LEFT) / count
    each = wide * 0.8 / max(1, len(figure.series))
    keys, height = legend(((color(index), one.label) for index, one in enumerate(figure.series)), TOP + HIGH + 42)
    named = max(1, math.ceil(28 / wide))
    return {
        "height": height,
        "left": LEFT,
        "bottom": TOP + HIGH,
        "ticks": scale.ticks("number"),
        "labels": [
            (round(LEFT + (index + 0.5) * wide, 2), label)
            for index, label in enumerate(figure.labels)
            if index % named == 0
        ],
        "columns": [
            {
                "x": round(LEFT + place * wide + index * each, 2),
                "y": scale(number.value or 0.0),
                "width": round(each, 2),
                "height": round(TOP + HIGH - scale(number.value or 0.0), 2),
                "color": color(index),
                "said": f"{number.name}, {one.label}: {said(number.value, 'number')}",
                "marks": marks(number.of),
            }
            for index, one in enumerate(figure.series)
            for place, number in enumerate(one.values)
        ],
        "legend": keys,
    }
