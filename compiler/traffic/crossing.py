"""Bytes that each rank sends and receives over each kind of link."""

from __future__ import annotations

import numpy as np

from compiler.cluster.spans import SPANS
from compiler.costs.arrays import Array
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.traffic.pairs import pairs
from compiler.traffic.places import FABRIC, LEAF, NODE, NVLINK, POD, Places
from compiler.traffic.streams import Stream


@dataclass(frozen=True)
class Crossing:
    """Bytes by link and rank, shape [len(SPANS), ranks]: the link is the one that a message's two ends span."""

    sent: Array
    received: Array

    def __add__(self, other: Crossing) -> Crossing:
        return Crossing(self.sent + other.sent, self.received + other.received)


def crossing(stream: Stream, places: Places) -> Crossing:
    """Of one stream. What goes to all others of a group is counted without its pairs, of which there would be the square."""
    table, how = places.table(stream.kind), ALGORITHMS[stream.op]
    if not how.trees and not how.pair and not stream.copies:
        each = _to_all(table, places) * (stream.message / table.shape[1])[places.stage]
        return Crossing(each, each)
    shape = (len(SPANS), places.ranks)
    sent, received = np.zeros(shape), np.zeros(shape)
    for source, target, count in pairs(stream, table, places.stage, places.domain):
        level = places.level(source, target) * places.ranks
        sent += np.bincount(level + source, weights=count, minlength=sent.size).reshape(shape)
        received += np.bincount(level + target, weights=count, minlength=sent.size).reshape(shape)
    return Crossing(sent, received)


def _to_all(table: Ranks, places: Places) -> Array:
    """Other ranks of its group that each rank reaches by each link, shape [len(SPANS), ranks]; 0 for ranks of no group."""
    near, leaf, pod = places.near, places.leaf, places.pod
    domain = _alike(table, places.domain)
    node = _alike(table, near)
    in_leaf = node + _alike(table, leaf) - _alike(table, _both(near, leaf))
    in_pod = node + _alike(table, pod) - _alike(table, _both(near, pod))
    found = np.zeros((len(SPANS), places.ranks))
    own = np.ones_like(domain)
    within = {NVLINK: domain, NODE: node, LEAF: in_leaf, POD: in_pod, FABRIC: np.full_like(domain, table.shape[1])}
    for level, count in within.items():
        found[level][table] = count - own
        own = count
    return found


def _alike(table: Ranks, ids: Ranks) -> Ranks:
    """Ranks of its group, itself among them, that share each rank's id, shape of `table`."""
    rows = np.arange(len(table), dtype=np.int64)[:, None]
    key = ids[table] + rows * (int(ids.max()) + 1)
    _, inverse, count = np.unique(key.ravel(), return_inverse=True, return_counts=True)
    found: Ranks = count[inverse.ravel()].reshape(table.shape)
    return found


def _both(one: Ranks, other: Ranks) -> Ranks:
    """An id for each pair of ids."""
    found: Ranks = one * (int(other.max()) + 1) + other
    return found
