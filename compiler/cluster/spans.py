"""The slowest link that each group crosses, by arithmetic on slots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.slots import Slots
from compiler.glossary import Span
from compiler.layout.grid import Ranks

SPANS = tuple(Span)
"""From nearest to farthest; a span is the index of its name here."""


def spans(table: Ranks, slots: Slots) -> NDArray[np.int8]:
    """Span of each group of `table`, shape [groups]: an index into SPANS."""
    if table.shape[1] == 1:
        return np.zeros(len(table), dtype=np.int8)
    slot = slots.slot(table)
    levels = (slots.nvlink_domain(table), slot, slots.leaf[slot], slots.pod[slot])
    found = np.full(len(table), SPANS.index("fabric"), dtype=np.int8)
    for level in reversed(range(len(levels))):
        ids = levels[level]
        found[(ids == ids[:, :1]).all(axis=1)] = level + 1
    return found


def distinct(ids: Ranks) -> Ranks:
    """How many different ids each row of `ids` holds, shape [rows]."""
    ordered = np.sort(ids, axis=1)
    changes: Ranks = (np.diff(ordered, axis=1) != 0).sum(axis=1)
    return changes + 1


def most_shared(ids: Ranks) -> int:
    """How many rows of `ids` hold the id that most of them hold."""
    ordered = np.sort(ids, axis=1)
    firsts = ordered[np.diff(ordered, axis=1, prepend=-1) != 0]
    return int(np.bincount(firsts).max())
