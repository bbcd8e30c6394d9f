"""Arrays of costs: always floats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def array(value: Any) -> Array:
    """A float array, so that products of large counts cannot wrap around."""
    return np.asarray(value, dtype=np.float64)


def ceil_div(amount: Array | float, parts: Array | float) -> Array:
    """The largest share of `amount` things dealt out to `parts`."""
    return np.ceil(array(amount) / parts)


def front(first: Array, second: Array) -> NDArray[np.bool_]:
    """Points that no other one beats: less of both is better; of equal ones the first."""
    order = np.lexsort([second, first])
    least = np.minimum.accumulate(np.concatenate([[np.inf], second[order]]))[:-1]
    found = np.zeros(len(first), dtype=bool)
    found[order] = second[order] < least
    return found


SETTLED = 9
"""Digits of a whole that its parts are told to: differences, they are no more exact than that."""


def settled(parts: Mapping[str, float]) -> dict[str, float]:
    """Parts of a whole, each to as many decimals as count of the sum; what is below is 0, whichever sign it has."""
    whole = sum(parts.values())
    if not math.isfinite(whole) or whole <= 0:
        return dict(parts)
    decimals = SETTLED - 1 - math.floor(math.log10(whole))
    return {name: max(round(value, decimals), 0.0) for name, value in parts.items()}


def exceeding(spent: Array, window: Array, edge: float) -> Array:
    """Seconds of a stream that show beside a window of another one: few while it fits, and what exceeds it beyond.

    `(spent^edge + window^edge)^(1/edge) - window`, without a difference of two numbers that are nearly equal.
    """
    longer = np.maximum(spent, window)
    ratio = np.minimum(spent, window) / np.maximum(longer, np.finfo(float).tiny)
    return np.asarray(longer - window + longer * np.expm1(np.log1p(ratio**edge) / edge))
