"""Curves of engines' own kernels with what they miss over the sizes of a call, fitted to their measured times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.costs.calibration import KernelCurve, Measured
from compiler.costs.grid import HUNDREDTHS, Grid
from compiler.frozen import dataclass
from compiler.speed.fit.least_squares import minimise

LEAST = np.log([0.1, 0.2, 1e-6, 0.5, 0.05])
MOST = np.log([1.2, 1.2, 3e-4, 6.0, 50.0])
"""Where the constants of a roofline may lie, in KernelCurve's order: what is beyond is no roofline, and the grid's."""

WIDE = 3.0
"""Spread of the prior on each, in units of a logistic curve between both ends."""

ROBUST = 0.3
"""Relative error from which on an outlier counts linearly: kernels switch, and some calls hang."""

SHORT_S, LESS = 1e-5, 0.3
"""Seconds at peak up to which a call counts less: most of those measured are short, and most of a server's time is not."""

PULL = 0.1
"""How many samples hold each knot of a grid at no correction."""

SURE = 0.05
ROUNDS = 8


@dataclass(frozen=True)
class Calls:
    """Measured calls of one kernel: seconds at peak of arithmetic and of memory traffic, rows, what it took, its sizes, and what a
    call counts.
    """

    arithmetic: Array
    moved: Array
    rows: Array
    seconds: Array
    sizes: tuple[Array, ...]
    weight: Array

    def take(self, chosen: NDArray[np.bool_]) -> Calls:
        sizes = tuple(size[chosen] for size in self.sizes)
        arithmetic, moved, rows = self.arithmetic[chosen], self.moved[chosen], self.rows[chosen]
        return Calls(arithmetic, moved, rows, self.seconds[chosen], sizes, self.weight[chosen])

    def said(self, curve: KernelCurve | Measured) -> Array:
        return curve.seconds(self.arithmetic, self.moved, self.rows, *self.sizes)


def fit(calls: Calls, axes: Sequence[Sequence[float]]) -> Measured:
    """A roofline, then what it misses by knot: the medians of neighbours, pulled to none where calls are few."""

    def curve(x: Array) -> KernelCurve:
        return KernelCurve(*(float(value) for value in np.exp(LEAST + (MOST - LEAST) / (1 + np.exp(-x)))))

    counts = calls.weight * np.where(np.maximum(calls.arithmetic, calls.moved) > SHORT_S, 1.0, LESS)
    x = minimise(
        lambda x: counts * np.log(calls.said(curve(x)) / calls.seconds), np.zeros(len(LEAST)), WIDE, robust=ROBUST
    )
    found = curve(x)
    off = np.log(calls.seconds / calls.said(found))
    shape = _knots(_weights(calls.sizes, axes), off, counts)
    grid = Grid(tuple(tuple(axis) for axis in axes), tuple(float(round(HUNDREDTHS * value)) for value in shape))
    return Measured(found, grid)


def _weights(sizes: Sequence[Array], axes: Sequence[Sequence[float]]) -> Array:
    """What each knot counts for each call, [calls, knots]."""
    found = np.ones((len(sizes[0]), 1))
    for size, axis in zip(sizes, axes, strict=True):
        place = np.log2(np.maximum(size, 1e-9))
        each = np.stack([np.interp(place, axis, row) for row in np.eye(len(axis))], axis=1)
        found = (found[:, :, None] * each[:, None, :]).reshape(len(place), -1)
    return found


def _knots(weights: Array, off: Array, counts: Array) -> Array:
    """Least absolute errors by least squares that are weighted anew."""
    sure = np.ones(len(off))
    for _ in range(ROUNDS):
        sure = sure * counts
        normal = weights.T @ (weights * sure[:, None]) + PULL * np.eye(weights.shape[1])
        found = np.linalg.solve(normal, weights.T @ (sure * off))
        sure = SURE / np.maximum(np.abs(off - weights @ found), SURE)
    return np.asarray(found)


def error(calls: Calls, curve: Measured) -> float:
    """Median relative error."""
    return float(np.median(np.abs(calls.said(curve) / calls.seconds - 1)))
