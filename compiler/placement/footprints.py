"""The node slots that the groups of a kind sit on, each set of slots once: all of a group that its hosts decide about."""

from __future__ import annotations

import numpy as np

from compiler.cluster.spans import SPANS, distinct
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.traffic.places import Places

NVLINK, LEAF, POD, FABRIC = (SPANS.index(name) for name in ("nvlink", "leaf", "pod", "fabric"))


@dataclass(frozen=True)
class Network:
    """Where each slot hangs, ids of shape [..., slots]; `domain` is None where NVLink domains are no larger than a node."""

    leaf: Ranks
    pod: Ranks
    domain: Ranks | None


@dataclass(frozen=True)
class Footprints:
    """Of one kind: `slots` [sets, width] in ascending order, how many groups sit on each, and, of those on one slot, their span;
    `inner` NVLink domains of a group where those are no larger than a node.
    """

    kind: str
    size: int
    slots: Ranks
    count: Ranks
    span: Ranks
    inner: Ranks

    @property
    def width(self) -> int:
        return int(self.slots.shape[1])

    @property
    def alone(self) -> int:
        """Groups that sit on one slot."""
        return int(self.count[self.slots[:, 0] == self.slots[:, -1]].sum())

    @property
    def narrowest(self) -> int:
        """The fewest slots that a group sits on, of those on several."""
        widths = 1 + (self.slots[:, 1:] != self.slots[:, :-1]).sum(axis=1)
        return int(widths[widths > 1].min(initial=self.width))

    @property
    def apart(self) -> bool:
        """Whether no slot is in two of them."""
        return len(np.unique(self.slots)) == self.slots.size

    def spans(self, network: Network) -> tuple[Ranks, Ranks]:
        """Span (an index into SPANS) and NVLink domains of the groups of each set, shape [..., sets]."""
        leaf, pod = network.leaf[..., self.slots], network.pod[..., self.slots]
        found = np.full(leaf.shape[:-1], FABRIC, dtype=np.int64)
        found[_same(pod)] = POD
        found[_same(leaf)] = LEAF
        domains = np.broadcast_to(self.inner, found.shape)
        if network.domain is not None:
            domain = network.domain[..., self.slots]
            found[_same(domain)] = NVLINK
            flat = domain.reshape(-1, self.width)
            domains = distinct(flat).reshape(found.shape)
        if self.width == 1:
            found = np.broadcast_to(self.span, found.shape)
        return found, np.where(found <= NVLINK, 1, domains)


def _same(ids: Ranks) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    alike: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (ids == ids[..., :1]).all(axis=-1)
    return alike


def footprints(places: Places, kind: str) -> Footprints:
    """Of all instances' groups. Sets of groups that do not all sit on as many slots repeat their last one."""
    world, table = places.world, places.table(kind)
    rows = np.sort(places.slot[table], axis=1)
    rows = _narrow(rows)
    span = np.tile(world.spans(kind).astype(np.int64), world.instances)
    wide = world.slots.domain_gpus >= world.slots.gpus
    inner = np.ones(len(table), dtype=np.int64) if wide else distinct(places.domain[table])
    if rows.shape[1] > 1:
        span = np.zeros_like(span)
    keys = np.concatenate([rows, span[:, None], inner[:, None]], axis=1)
    found, count = np.unique(keys, axis=0, return_counts=True)
    return Footprints(kind, table.shape[1], found[:, :-2], count, found[:, -2], found[:, -1])


def _narrow(rows: Ranks) -> Ranks:
    """Each slot once in ascending rows."""
    new = np.ones(rows.shape, dtype=bool)
    new[:, 1:] = rows[:, 1:] != rows[:, :-1]
    width = int(new.sum(axis=1).max())
    place = np.cumsum(new, axis=1) - 1
    found = np.repeat(rows[:, -1:], width, axis=1)
    np.put_along_axis(found, place, rows, axis=1)
    return found
