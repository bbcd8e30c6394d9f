"""Slots in an order in which those that talk to each other stand side by side, in blocks within blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from compiler.cluster.packing import Blocks
from compiler.layout.grid import Ranks
from compiler.placement.footprints import Footprints

HEAVIEST = 3
"""Kinds whose blocks are tried within each other in every order."""


def chains(each: Sequence[Footprints], count: int) -> Iterator[Blocks]:
    """`each`: kinds of several slots, those that cost most first."""
    seen: dict[Blocks, None] = {}
    for first in permutations(each[:HEAVIEST]):
        for chain in (_chain([*first, *each[HEAVIEST:]], count), _chain(first[:1], count)):
            if chain not in seen:
                seen[chain] = None
                yield chain
    if each and each[0].apart and each[0].slots.size == count:
        yield from _tiles(each[0].slots)


def _tiles(rows: Ranks) -> Iterator[Blocks]:
    """Blocks as large as a group of the heaviest kind, of parts of several: what is in the same place of each is near as well."""
    count, width = rows.shape
    row, column = (at.ravel() for at in np.indices(rows.shape))
    high = 2
    while high <= width and width % high == 0 and count % high == 0:
        wide = width // high
        order = np.lexsort((column % wide, row % high, column // wide, row // high))
        yield Blocks(tuple(rows.ravel()[order].tolist()), (high * width, width))
        high *= 2


def _chain(kinds: Sequence[Footprints], count: int) -> Blocks:
    """Blocks are what the groups of the first kind join, then those of the first two, and so on; where they are alike in size."""
    label = np.arange(count, dtype=np.int64)
    keys, sizes = [label], [1]
    for at in range(len(kinds)):
        label = _joined(label, [kind.slots for kind in kinds[: at + 1]])
        size = np.unique(np.unique(label, return_counts=True)[1])
        if len(size) == 1 and sizes[-1] < size[0] and size[0] % sizes[-1] == 0:
            sizes.append(int(size[0]))
            keys.append(label)
    order = np.lexsort(keys)
    return Blocks(tuple(order.tolist()), tuple(reversed(sizes[1:])))


def _joined(label: Ranks, tables: Sequence[Ranks]) -> Ranks:
    """The lowest slot that each is joined to."""
    label = label.copy()
    while True:
        before = label.copy()
        for table in tables:
            np.minimum.at(label, table.ravel(), np.repeat(label[table].min(axis=1), table.shape[1]))
        if (label == before).all():
            return label
