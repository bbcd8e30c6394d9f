"""What all figures share: their width, scales, ticks, and numbers in their units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from compiler.words import number, seconds, size

WIDTH = 960
"""Units of every figure's view box."""
LETTER = 7.4
"""Width of a letter of a label, at most of most."""


class Scale(NamedTuple):
    """Values from `low` to `high` on positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, unit: str) -> list[tuple[float, str]]:
        """Round values within it, with their positions."""
        return [(self(value), said(value, unit)) for value in steps(self.low, self.high)]


def steps(low: float, high: float, most: int = 6) -> Iterator[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, at most so many and one."""
    if not high > low:
        return
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough)
    first = math.ceil(low / step - 1e-9)
    for index in range(first, math.floor(high / step + 1e-9) + 1):
        yield index * step


def said(value: float | None, unit: str) -> str:
    """A number of a figure for people."""
    return {"bytes": size, "seconds": seconds}.get(unit, number)(value)


def legend(names: Iterable[tuple[int, str]], y: float) -> tuple[list[tuple[float, float, int, str]], float]:
    """Colour and name -> (x, y, colour, name) from left to right and on, and where the last line ends."""
    found, x = [], 0.0
    for color, name in names:
        width = 34 + LETTER * len(name)
        if x + width > WIDTH and x > 0:
            x, y = 0.0, y + 20
        found.append((round(x, 2), y, color, name))
        x += width
    return found, y + 20


COLORS = 10
"""Of the palette."""


def color(index: int) -> int:
    return index % COLORS
