"""What no placement in an order of axes takes less than.

Each kind by itself has as many groups whole within an NVLink domain, a leaf and a pod as there is room for. The kind that loses most
by being far is either whole everywhere (then the others are made of its blocks, and those are what there is room for), or one of
its groups is not: the lesser of the two is the bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np

from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.placement.footprints import FABRIC, LEAF, NVLINK, POD, Footprints, Network
from compiler.placement.score import Score
from compiler.placement.times import Far, Times


@dataclass(frozen=True)
class Room:
    """Hosts of every NVLink domain (none where those are smaller than a node), leaf and pod, shape of each its number; `nested`: no
    domain is on two leaves. `leaf` of each domain and `pod` of each leaf.
    """

    domains: Ranks
    leaves: Ranks
    pods: Ranks
    nested: bool
    leaf: Ranks
    pod: Ranks

    def blocks(self, width: int, *, by_domain: bool) -> Room:
        """The same in blocks of so many hosts, each whole within a domain, or a leaf."""
        if by_domain:
            domains = self.domains // width
            leaves = np.bincount(self.leaf, weights=domains, minlength=len(self.leaves)).astype(np.int64)
        else:
            domains, leaves = self.domains[:0], self.leaves // width
        pods = np.bincount(self.pod, weights=leaves, minlength=len(self.pods)).astype(np.int64)
        return replace(self, domains=domains, leaves=leaves, pods=pods)


def room(network: Network) -> Room:
    """`network` of all hosts, ids of shape [hosts]."""
    leaf, pod, domain = network.leaf, network.pod, network.domain
    none = np.zeros(0, dtype=np.int64)
    above = np.zeros(int(leaf.max()) + 1, dtype=np.int64)
    above[leaf] = pod
    if domain is None:
        return Room(none, np.bincount(leaf), np.bincount(pod), True, none, above)
    of = np.zeros(int(domain.max()) + 1, dtype=np.int64)
    of[domain] = leaf
    return Room(np.bincount(domain), np.bincount(leaf), np.bincount(pod), bool((of[domain] == leaf).all()), of, above)


@dataclass(frozen=True)
class Heaviest:
    """The kind of several slots that loses most by being far; `across`: kinds of whose groups none shares two ranks with one of it, and
    `per_host` ranks of a host.
    """

    one: Footprints
    across: frozenset[str]
    per_host: int


def bound(times: Times, each: Sequence[Footprints], heaviest: Heaviest | None, within: Room) -> Score:
    """Of all placements in one order."""
    alone = _case(times, each, [list(_levels(one, within)) for one in each], {})
    if heaviest is None or not heaviest.one.apart or not within.nested:
        return alone
    first = heaviest.one
    level = NVLINK if within.domains.max(initial=0) >= first.width else LEAF
    cases = list(_cuts(times, each, heaviest, level, within))
    if _fitting(first, within.domains if level == NVLINK else within.leaves) >= first.count.sum():
        blocks = within.blocks(first.width, by_domain=level == NVLINK)
        cases.append(_case(times, each, [list(_of_blocks(one, first, level, within, blocks)) for one in each], {}))
    return Score(min(case.seconds for case in cases), min(case.communication_s for case in cases))


STEPS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""NVLink domains of a group that is not whole, from each of these on to the next."""


def _cuts(times: Times, each: Sequence[Footprints], heaviest: Heaviest, level: int, within: Room) -> Iterator[Score]:
    """A group of the heaviest kind is not whole, and the worst one touches so many domains: the fewer, the more do groups across it.

    A domain of c ranks holds parts of R groups of one kind and of C of the other, and R*C >= c where no two share two ranks. Summed
    over all domains, by Cauchy and Schwarz, the most domains of a group of either kind multiply to at least
    N^2 / (c * groups * groups) for N ranks.
    """
    first = heaviest.one
    levels = [list(_levels(one, within)) for one in each]
    if level == LEAF:
        yield _case(times, each, levels, {first.kind: (POD, 1)})
        return
    groups, most = int(first.count.sum()), int(within.domains.max()) * heaviest.per_host
    ends = [*(step for step in STEPS if step <= first.size), first.size + 1]
    for few, behind in pairwise(ends):
        forced = {first.kind: (LEAF, few)}
        for one in (one for one in each if one.kind in heaviest.across):
            product = (groups * first.size) ** 2 / (most * groups * int(one.count.sum()))
            domains = ceil(product / (behind - 1) - 1e-9)
            forced |= {one.kind: (LEAF, domains)} if domains > 1 else {}
        yield _case(times, each, levels, forced)


Levels = list[tuple[Far, int]]
"""Reaches, near ones first, and how many groups have them at most; the last holds any number."""


def _case(times: Times, each: Sequence[Footprints], levels: Sequence[Levels], forced: Mapping[str, Far]) -> Score:
    """`forced`: what the worst group of a kind reaches at least."""
    mean, worst = 0.0, dict[str, Far]()
    for one, own in zip(each, levels, strict=True):
        every = left = int(one.count.sum())
        for far, most in own:
            here, least = min(left, most), times.least(one.kind, far) if one.width > 1 else far
            if here:
                mean += here * float(times.of(one.kind)[least]) / every
                left -= here
                worst[one.kind] = far
        span, domains = forced.get(one.kind, (0, 0))
        far = max(worst[one.kind][0], span), max(worst[one.kind][1], domains)
        worst[one.kind] = times.least(one.kind, far) if one.width > 1 else far
    return Score(times.whole(worst), mean)


def _levels(one: Footprints, within: Room) -> Iterator[tuple[Far, int]]:
    if one.width == 1:
        for span, domains in sorted(set(zip(one.span.tolist(), one.inner.tolist(), strict=True))):
            mask = (one.span == span) & (one.inner == domains)
            yield (span, 1 if span <= NVLINK else domains), int(one.count[mask].sum())
        return
    least = max(2, _domains(one, within))
    domains, leaves, pods = (_fitting(one, sizes) for sizes in (within.domains, within.leaves, within.pods))
    domains = max(domains, one.alone)
    leaves = max(leaves, domains) if within.nested else leaves + domains
    pods = max(pods, leaves)
    yield (NVLINK, 1), domains
    yield (LEAF, least), leaves - domains
    yield (POD, least), pods - leaves
    yield (FABRIC, least), int(one.count.sum())


def _of_blocks(
    one: Footprints, heaviest: Footprints, level: int, within: Room, blocks: Room
) -> Iterator[tuple[Far, int]]:
    """Of a kind whose groups are made of blocks that are whole at a level."""
    if one is heaviest:
        yield (level, 1 if level == NVLINK else max(2, _domains(one, within))), int(one.count.sum())
        return
    made = _contracted(one, heaviest, _domains(one, within))
    inside = made.width == 1
    if inside and level == NVLINK and one.width > 1:
        yield (NVLINK, 1), int(one.count.sum())
    else:
        yield from _levels(one, within) if inside else _levels(made, blocks)


def _domains(one: Footprints, within: Room) -> int:
    """NVLink domains that a group needs."""
    return -(-one.narrowest // int(within.domains.max())) if within.domains.max(initial=0) else int(one.inner.min())


def _fitting(one: Footprints, sizes: Ranks) -> int:
    """Groups that are whole in parts of these sizes, at most."""
    if not one.apart:
        return int(one.count.sum()) if (sizes >= one.narrowest).any() else one.alone
    most = int((sizes // one.width).sum())
    return int(np.sort(one.count)[::-1][:most].sum())


def _contracted(one: Footprints, heaviest: Footprints, domains: int) -> Footprints:
    """Groups as sets of the heaviest kind's blocks; slots outside of all are blocks of their own."""
    count = int(max(one.slots.max(), heaviest.slots.max())) + 1
    block = np.arange(count, dtype=np.int64)
    block[heaviest.slots] = heaviest.slots[:, :1]
    rows = np.sort(block[one.slots], axis=1)
    new = np.ones(rows.shape, dtype=bool)
    new[:, 1:] = rows[:, 1:] != rows[:, :-1]
    width = new.sum(axis=1)
    if len(set(width.tolist())) > 1:  # take the smallest for all: less room is needed then
        return Footprints(one.kind, one.size, rows[:, : int(width.min())], one.count, one.span, one.inner)
    rows = rows[new].reshape(len(rows), -1)
    found, index = np.unique(rows, axis=0, return_inverse=True)
    groups = np.bincount(index.ravel(), weights=one.count).astype(np.int64)
    zero = np.zeros_like(groups)
    return Footprints(one.kind, one.size, found, groups, zero, zero + domains)
