"""A matrix whose colours are logarithms."""

from __future__ import annotations

import math
from typing import Any

from compiler.report.draw.scale import LETTER, WIDTH, said
from compiler.report.figures import Heat
from compiler.report.told import marks

SHADES = 8
LARGEST, HIGHEST = 26, 560
"""Side of a square, and of all of them, at most."""


def drawn(figure: Heat) -> dict[str, Any]:
    """Where everything is."""
    count = max(1, len(figure.labels))
    longest = max((len(label) for label in figure.labels), default=0)
    left = max(24 + LETTER * longest, 16 + LETTER * len(figure.rows))
    side = min(float(LARGEST), (WIDTH - left) / count, HIGHEST / count)
    values = [number.value for *_, number in figure.cells if number.value]
    low, high = (math.log10(value) for value in (min(values, default=1.0), max(values, default=1.0)))
    below, beside = (max(1, math.ceil(room / side)) for room in (14, LETTER * longest + 6))
    return {
        "height": round(34 + side * count + 50, 2),
        "side": round(max(side - 1, side * 0.8), 2),
        "cells": [
            (
                round(left + column * side, 2),
                round(34 + row * side, 2),
                _shade(number.value, low, high),
                f"{figure.labels[row]} to {figure.labels[column]}: {said(number.value, figure.unit)}",
                marks(number.of),
            )
            for row, column, number in figure.cells
            if number.value
        ],
        "rows": [
            (round(34 + (index + 0.5) * side + 4, 2), label)
            for index, label in enumerate(figure.labels)
            if index % below == 0
        ],
        "columns": [
            (round(left + (index + 0.5) * side, 2), label)
            for index, label in enumerate(figure.labels)
            if index % beside == 0
        ],
        "legend": [
            (index, round(left + index * 110, 2), said(10 ** (low + (high - low) * (index + 0.5) / 4), figure.unit))
            for index in range(4)
        ],
        "legend_y": round(34 + side * count + 24, 2),
        "left": left,
    }


def _shade(value: float, low: float, high: float) -> int:
    share = (math.log10(value) - low) / (high - low) if high > low else 1.0
    return min(SHADES - 1, int(share * SHADES))
