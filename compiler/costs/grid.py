"""What a curve misses, over a lattice of sizes: tiles, waves and switches between kernels, which no roofline has."""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.frozen import dataclass

HUNDREDTHS = 100.0


@dataclass(frozen=True)
class Grid:
    """Factors of a curve's seconds, one for each knot of all axes. `axes`: ascending logarithms to base 2 of a call's sizes; `shape`:
    hundredths of the factors' logarithms, the last axis fastest. Straight between knots, level beyond them.
    """

    axes: tuple[tuple[float, ...], ...]
    shape: tuple[float, ...]

    @cached_property
    def _table(self) -> Array:
        return array(self.shape).reshape([len(axis) for axis in self.axes]) / HUNDREDTHS

    def factor(self, *sizes: Array) -> Array:
        """Of calls of these sizes, one array an axis, which broadcast."""
        below, part = zip(*(self._place(axis, size) for axis, size in zip(self.axes, sizes, strict=True)), strict=True)
        found: Array = array(0.0)
        for corner in product((0, 1), repeat=len(self.axes)):
            weight: Array = array(1.0)
            for side, share in zip(corner, part, strict=True):
                weight = weight * (share if side else 1 - share)
            found = found + weight * self._table[tuple(at + side for at, side in zip(below, corner, strict=True))]
        return np.exp(found)

    @staticmethod
    def _place(axis: tuple[float, ...], size: Array) -> tuple[NDArray[np.intp], Array]:
        """The knot below, and how far the size is towards the next one."""
        at = np.interp(np.log2(np.maximum(size, 1e-9)), axis, np.arange(len(axis)))
        below = np.minimum(at.astype(np.intp), len(axis) - 2)
        return below, at - below
