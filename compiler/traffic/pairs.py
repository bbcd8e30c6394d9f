"""Who sends how much to whom: each collective as the cost model has it, pair by pair of ranks.

A ring (all_reduce, all_gather, reduce_scatter) runs within each NVLink domain of a group, and between its domains from a rank to
the one in the same position of the next domain. all_to_all goes to every rank, or, where a token is sent once to each domain, to
the rank in the same position there. send_recv goes to the next rank of the group and to the one before, round to the first.
Domains follow each other as they first appear in the group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.costs.comm.collectives import kept
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.traffic.streams import Stream

Pairs = tuple[Ranks, Ranks, Array]
"""Source, target and bytes, arrays of one length; a pair may come several times."""

CHUNK = 1 << 21
"""Ranks of the groups that are expanded at a time."""


def pairs(stream: Stream, table: Ranks, stage: Ranks, domain: Ranks) -> Iterator[Pairs]:
    """Pairs of all groups of a kind. `table`: their ranks, shape [groups, size]; `stage` and `domain` of each rank."""
    how, step = ALGORITHMS[stream.op], max(1, CHUNK // table.shape[1])
    for start in range(0, len(table), step):
        part = table[start : start + step]
        if how.pair:
            yield from _neighbours(stream, part, stage)
        elif not how.trees and not stream.copies:
            yield from _every_other(stream, part, stage)
        else:
            blocks = _blocks(part, domain)
            message = stream.message[stage[blocks.ranks]]
            yield from _rings(how.passes, message, blocks) if how.trees else _once(stream.copies, message, blocks)


def _neighbours(stream: Stream, table: Ranks, stage: Ranks) -> Iterator[Pairs]:
    for sent, turn in ((stream.ahead, -1), (stream.back, 1)):
        if sent.any():
            yield table.ravel(), np.roll(table, turn, axis=1).ravel(), sent[stage[table]].ravel()


def _every_other(stream: Stream, table: Ranks, stage: Ranks) -> Iterator[Pairs]:
    size = table.shape[1]
    each = (stream.message[stage[table]] / size).ravel()
    for turn in range(1, size):
        yield table.ravel(), np.roll(table, -turn, axis=1).ravel(), each


@dataclass(frozen=True)
class Blocks:
    """The ranks of many groups, those of one group and domain side by side: flat arrays over them. A block begins at `start` and
    has `size` ranks, of which this is number `place`; its group has `domains` blocks from number `first` on, of which this is
    `number`; `starts` and `sizes` are those of all blocks; a group has `group_size` ranks.
    """

    ranks: Ranks
    start: Ranks
    size: Ranks
    place: Ranks
    number: Ranks
    first: Ranks
    domains: Ranks
    starts: Ranks
    sizes: Ranks
    group_size: int

    def within(self, turn: int) -> Ranks:
        """The rank that stands so many places behind each in its own block."""
        found: Ranks = self.ranks[self.start + (self.place + turn) % self.size]
        return found

    def beyond(self, turn: int) -> tuple[Ranks, Ranks]:
        """The rank in the same position so many blocks further, and how many ranks that block has."""
        block = self.first + (self.number - self.first + turn) % self.domains
        found: Ranks = self.ranks[self.starts[block] + self.place % self.sizes[block]]
        return found, self.sizes[block]


def _blocks(table: Ranks, domain: Ranks) -> Blocks:
    count, size = table.shape
    key = (domain[table] + np.arange(count, dtype=np.int64)[:, None] * (int(domain.max()) + 1)).ravel()
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    head = first[inverse.ravel()]  # where the domain of each rank first appears
    order = np.argsort(head, kind="stable")
    head = head[order]
    new = np.append(True, head[1:] != head[:-1])
    starts, number = np.flatnonzero(new), np.cumsum(new) - 1
    sizes = np.diff(np.append(starts, count * size))
    group = np.arange(count * size) // size
    at = number[np.arange(count) * size]  # the first block of each group
    each = np.diff(np.append(at, len(starts)))
    start = starts[number]
    place = np.arange(count * size) - start
    return Blocks(
        table.ravel()[order], start, sizes[number], place, number, at[group], each[group], starts, sizes, size
    )


def _rings(passes: int, message: Array, blocks: Blocks) -> Iterator[Pairs]:
    size, domains = blocks.size, blocks.domains
    yield _some(size > 1, blocks.ranks, blocks.within(1), passes * (size - 1) / size * message)
    target, _ = blocks.beyond(1)
    yield _some(domains > 1, blocks.ranks, target, passes * (domains - 1) / domains / size * message)


def _once(copies: int, message: Array, blocks: Blocks) -> Iterator[Pairs]:
    """Each token once to each domain that has some of its experts, and once to each rank of its own domain."""
    ranks = blocks.group_size
    near, far = kept(copies, ranks) / ranks * message, kept(copies, array(blocks.domains)) / ranks * message
    for turn in range(1, int(blocks.size.max())):
        yield _some(turn < blocks.size, blocks.ranks, blocks.within(turn), near)
    for turn in range(1, int(blocks.domains.max())):
        target, size = blocks.beyond(turn)
        yield _some(turn < blocks.domains, blocks.ranks, target, far * size)


def _some(mask: NDArray[np.bool_], source: Ranks, target: Ranks, sent: Array) -> Pairs:
    return source[mask], target[mask], sent[mask]
