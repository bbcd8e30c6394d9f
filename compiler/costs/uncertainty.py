"""How far a projection may be from what would be measured: an interval for each family, from residuals of measured rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field

from compiler.costs.constants import EIGHTY
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Residuals:
    """Logarithms of measured over projected: their mean and their standard deviation."""

    bias: float = 0.0
    spread: float = 0.0

    def interval(self, value: float | None) -> tuple[float, float] | tuple[None, None]:
        """Where four of five measurements would lie, and what is said itself; None around what is no number."""
        if value is None or not math.isfinite(value):
            return None, None
        middle, factor = value * math.exp(self.bias), math.exp(EIGHTY * self.spread)
        return min(middle / factor, value), max(middle * factor, value)

    def wider(self, spread: float) -> Residuals:
        """With another reason to be off."""
        return Residuals(self.bias, math.hypot(self.spread, spread))


@dataclass(frozen=True)
class Uncertainty:
    """Residuals of "step", "ttft", "tpot" and "memory"; a family without any has no interval."""

    families: Mapping[str, Residuals] = field(default_factory=dict)

    def around(self, family: str, value: float | None) -> tuple[float, float] | tuple[None, None]:
        return self.families[family].interval(value) if family in self.families else (None, None)
