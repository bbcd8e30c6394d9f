"""Units of physical quantities, and the value that somebody probably meant who wrote one that nothing has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from compiler.frozen import dataclass

_COUNTS = ((1e9, "billions"), (1e12, "trillions"), (1e6, "millions"), (1e3, "thousands"))

_LATENCY = ((1e-6, "us"), (1e-3, "ms"), (1e-9, "ns"))
_DURATION = ((1e-3, "ms"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days"))
WRITTEN: Mapping[str, tuple[tuple[float, str], ...]] = {
    "bytes": ((1e9, "GB"), (2.0**30, "GiB"), (1e6, "MB"), (2.0**20, "MiB"), (1e12, "TB"), (1e-3, "GB")),
    "bytes/s": (
        *((1e9, "GB/s"), (1e12, "TB/s"), (1e9 / 8, "Gbit/s"), (2.0**30, "GiB/s")),
        *((1 / 8, "bit/s"), (1e-3, "GB/s"), (1e-3 / 8, "Gbit/s")),
    ),
    "FLOP/s": ((1e12, "TFLOP/s"), (1e15, "PFLOP/s"), (1e-3, "TFLOP/s")),
    "of 1": ((0.01, "%"),),
    "parameters": _COUNTS,
    "tokens": _COUNTS,
    "requests/s": ((1 / 60, "requests/minute"), (1 / 3600, "requests/hour"), (1 / 86400, "requests/day")),
}
"""Unit -> (factor, unit that is written in its place), the likeliest first; 1e-3 takes back one thousand too many.

Only units in which people write the quantity.
"""


@dataclass(frozen=True)
class Quantity:
    """A physical quantity: its SI unit, and from what to what (inclusive) anything of today or soon is."""

    unit: str
    usual: tuple[float, float]

    def unusual(self, value: float) -> bool:
        """Whether nothing is so. 0 is none at all, not little."""
        return value != 0 and not self.usual[0] <= value <= self.usual[1]

    def _written(self) -> tuple[tuple[float, str], ...]:
        """Seconds are of two kinds: nobody writes a latency in minutes, nor a restart in nanoseconds."""
        if self.unit != "s":
            return WRITTEN[self.unit]
        return _LATENCY if self.usual[1] < 1 else _DURATION

    def meant(self, value: float) -> Iterator[tuple[float, str]]:
        """What the number would be in units that make it usual, with those units."""
        for factor, unit in self._written():
            if self.usual[0] / factor <= value <= self.usual[1] / factor:  # a whole number may be too large to multiply
                yield value * factor, unit


def written(value: float, *, whole: bool = False) -> str:
    """A number as a user writes it: 450e9, 5e-6, 0.8; all of its digits where it is `whole`."""
    if whole or value == 0:
        return str(round(value))
    power = math.floor(math.log10(abs(value)) / 3) * 3
    if -3 <= power < 6:
        return f"{value:.6g}"
    return f"{value / 10.0**power:.6g}e{power}"
