"""The rank tensor in closed form: named axes with sizes and strides. Nothing outside this module computes a stride."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compiler.frozen import dataclass

Ranks = NDArray[np.int64]


Run = tuple[int, int]
"""(size, stride) of equally spaced ranks."""


@dataclass(frozen=True)
class GroupKind:
    """All groups of one kind in closed form: a group is one sum of `bases` plus every sum of `members`, fastest first."""

    members: tuple[Run, ...]
    bases: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Ranks of each group."""
        return math.prod(size for size, _ in self.members)

    @property
    def count(self) -> int:
        return math.prod(size for size, _ in self.bases)

    def table(self) -> Ranks:
        """Ranks, shape [count, size]."""
        return _offsets(self.bases)[:, None] + _offsets(self.members)[None, :]


def _offsets(runs: Iterable[Run]) -> Ranks:
    """Every sum of coordinate*stride, the first run varying fastest."""
    found = np.zeros(1, dtype=np.int64)
    for size, stride in runs:
        steps = np.arange(size, dtype=np.int64) * stride
        found = (steps[:, None] + found[None, :]).ravel()
    return found


@dataclass(frozen=True)
class Axis:
    """One run of equally spaced ranks. A compound axis is several of these with one name, fastest first."""

    axis: str
    size: int
    stride: int


@dataclass(frozen=True)
class Grid:
    """A view of ranks 0 .. world_size-1; `axes` fastest first. Every rank is the sum of coordinate*stride once."""

    axes: tuple[Axis, ...]

    @cached_property
    def world_size(self) -> int:
        return int(np.prod([axis.size for axis in self.axes], dtype=np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(axis.axis for axis in self.axes))

    def size(self, name: str) -> int:
        return int(np.prod([axis.size for axis in self.axes if axis.axis == name], dtype=np.int64))

    def strides(self, name: str) -> tuple[tuple[int, int], ...]:
        """(size, stride) of an axis's runs that hold more than one rank, fastest first."""
        return tuple((axis.size, axis.stride) for axis in self.axes if axis.axis == name and axis.size > 1)

    def coordinate(self, name: str, ranks: Ranks | None = None) -> Ranks:
        """Coordinate on axis `name` of each rank (default: all of them); same shape as `ranks`.

        Reads the strides as a mixed radix, so it needs them to be a permutation of the usual row-major strides.
        """
        ranks = np.arange(self.world_size, dtype=np.int64) if ranks is None else ranks
        found, weight = np.zeros_like(ranks), 1
        for axis in self.axes:
            if axis.axis == name:
                found += ranks // axis.stride % axis.size * weight
                weight *= axis.size
        return found

    def kind(self, names: Iterable[str], order: Sequence[str] | None = None) -> GroupKind:
        """Groups along the axes `names`, in closed form.

        Megatron's enumeration: unmasked coordinates count the groups and masked ones the members, fastest axis first.
        A framework that counts groups otherwise gives all unmasked axes in its `order`, fastest first.
        """
        masked = frozenset(names)
        members = tuple((axis.size, axis.stride) for axis in self.axes if axis.axis in masked)
        rest = [axis for axis in self.axes if axis.axis not in masked]
        if order is not None:
            rest.sort(key=lambda axis: order.index(axis.axis))
        return GroupKind(members, tuple((axis.size, axis.stride) for axis in rest))


def row_major(sizes: Iterable[tuple[str, int]]) -> Grid:
    """A grid whose axes are packed without gaps; `sizes` fastest first."""
    axes, stride = [], 1
    for name, size in sizes:
        axes.append(Axis(name, size, stride))
        stride = stride * size  # arrays of many plans are not changed in place
    return Grid(tuple(axes))
