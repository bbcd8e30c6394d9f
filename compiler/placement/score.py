"""What a placement takes by the cost model, and what none takes less than."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.layout.grid import Ranks
from compiler.placement.footprints import FABRIC, LEAF, NVLINK, POD, Footprints, Network
from compiler.placement.times import Far, Times

DIGITS = 9
"""Of a time that count when two placements are compared."""


@dataclass(frozen=True, order=True)
class Score:
    """`seconds` of a step, or of a prompt and its answer, in which the worst group of each kind counts; `communication_s` of all
    collectives, as the mean of each kind's groups: what decides between placements whose worst groups are alike.
    """

    seconds: float
    communication_s: float

    @property
    def rounded(self) -> tuple[float, float]:
        return float(f"{self.seconds:.{DIGITS}g}"), float(f"{self.communication_s:.{DIGITS}g}")


def scores(times: Times, each: Sequence[Footprints], network: Network) -> list[Score]:
    """Of placements in one order of axes; ids of `network` have the shape [placements, slots]."""
    count = len(network.leaf)
    mean, worst = np.zeros(count), dict[str, Ranks]()
    for one in each:
        span, domains = one.spans(network)
        mean += (times.of(one.kind)[span, domains] * one.count).sum(axis=-1) / one.count.sum()
        worst[one.kind] = span.max(axis=-1) * (one.size + 1) + domains.max(axis=-1)
    rows = np.stack(list(worst.values()), axis=1) if worst else np.zeros((count, 0), dtype=np.int64)
    different, index = np.unique(rows, axis=0, return_inverse=True)
    wholes = [
        times.whole({one.kind: _far(one, value) for one, value in zip(each, row, strict=True)})
        for row in different.tolist()
    ]
    return [Score(wholes[at], float(one)) for at, one in zip(index.ravel().tolist(), mean, strict=True)]


def _far(one: Footprints, code: int) -> Far:
    span, domains = divmod(code, one.size + 1)
    return span, domains


@dataclass(frozen=True)
class Room:
    """Hosts of every NVLink domain (empty where those are no larger than a node), leaf and pod, spares among them."""

    domains: Sequence[int]
    leaves: Sequence[int]
    pods: Sequence[int]
    nested: bool


def bound(times: Times, each: Sequence[Footprints], room: Room) -> Score:
    """No placement of one order takes less: each kind by itself has as many groups whole within a domain, a leaf and a pod as there is
    room for.
    """
    mean, worst = 0.0, dict[str, Far]()
    for one in each:
        every = left = int(one.count.sum())
        for far, most in _levels(one, room):
            here, least = min(left, most), times.least(one.kind, far) if one.width > 1 else far
            if here:
                mean += here * float(times.of(one.kind)[least]) / every
                left -= here
                worst[one.kind] = least
    return Score(times.whole(worst), mean)


def _levels(one: Footprints, room: Room) -> Iterator[tuple[Far, int]]:
    """Groups that a span holds at most, beyond those of nearer ones; the last holds any number."""
    if one.width == 1:
        for span, domains in sorted(set(zip(one.span.tolist(), one.inner.tolist(), strict=True))):
            mask = (one.span == span) & (one.inner == domains)
            yield (span, 1 if span <= NVLINK else domains), int(one.count[mask].sum())
        return
    least = -(-one.width // max(room.domains)) if room.domains else int(one.inner.min())
    domains, leaves, pods = (_fitting(one, sizes) for sizes in (room.domains, room.leaves, room.pods))
    leaves = max(leaves, domains) if room.nested else leaves + domains
    pods = max(pods, leaves)
    yield (NVLINK, 1), domains
    yield (LEAF, least), leaves - domains
    yield (POD, least), pods - leaves
    yield (FABRIC, least), int(one.count.sum())


def _fitting(one: Footprints, sizes: Sequence[int]) -> int:
    """Groups that are whole in parts of these sizes, at most."""
    if not one.apart:
        return int(one.count.sum()) if any(size >= one.width for size in sizes) else 0
    most = sum(size // one.width for size in sizes)
    return int(np.sort(one.count)[::-1][:most].sum())
