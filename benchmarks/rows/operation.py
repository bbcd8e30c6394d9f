"""What an operation of measured kernels is: where its points are, which curve a row belongs to, and the calls that rows are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.rows.record import Row
from compiler.costs.arrays import Array
from compiler.specs.hardware import Hardware
from compiler.speed.fit.grids import Calls

ENGINES = {"trtllm": "trtllm", "sglang": "sglang", "vllm": "vllm"}
Table = Mapping[str, Array]
Axes = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Operation:
    """A file, its numeric columns, a curve's section and name (empty: no call of ours), its work, and the knots of its grid.
    `read`: makes what the columns are from the rows of a curve, where they are not in a file.
    """

    file: str
    columns: tuple[str, ...]
    called: Callable[[Row], str]
    calls: Callable[[Table, str, Hardware], Calls]
    axes: Axes
    read: Callable[[list[Row]], list[Row]] = list


def steps(first: float, last: float, by: float) -> tuple[float, ...]:
    return tuple(float(value) for value in np.arange(first, last + by / 2, by))


def timed(arithmetic: Array, moved: Array, rows: Array, table: Table, *sizes: Array) -> Calls:
    """Seconds at peak of arithmetic and of memory traffic, rows, and what a curve's grid is over."""
    return Calls(arithmetic, moved, rows, table["latency"] / 1e3, sizes, np.ones_like(rows))
