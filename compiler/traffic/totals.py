"""Traffic of a plan in a few rows: of each phase and kind of groups the bytes by link, who shares links, and the bottleneck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.spans import SPANS, distinct
from compiler.frozen import dataclass
from compiler.traffic.crossing import Crossing, crossing
from compiler.traffic.links import Links, links
from compiler.traffic.places import Places, places
from compiler.traffic.streams import streams
from compiler.world import World

ALL = "all"
"""The kind of the row that sums those of a phase."""


@dataclass(frozen=True)
class Total:
    """Of all groups of a kind, in all instances. `bytes` by what the two ends of a message span, `leaves` that a group touches at most, groups
    that share the busiest card and the busiest uplink of a leaf. `bottleneck` is the kind of link that is busy longest, for
    `seconds` if it did nothing else, with `bottleneck_bytes` one way over the busiest one.
    """

    phase: str
    kind: str
    span: str
    leaves: int
    bytes: Mapping[str, float]
    groups_per_nic: int
    groups_per_uplink: int
    bottleneck: str
    bottleneck_bytes: float
    seconds: float


@dataclass(frozen=True)
class Carried:
    """What the groups of a kind send in a phase."""

    phase: str
    kind: str
    crossing: Crossing


@dataclass(frozen=True)
class Traffic:
    """By phase and kind, with where the ranks sit and what links there are."""

    places: Places
    links: tuple[Links, ...]
    carried: tuple[Carried, ...]

    @cached_property
    def matrices(self) -> Mapping[str, Mapping[str, Mapping[str, NDArray[Any]]]]:
        """Of each phase that sends something, who sends how much to whom: of ranks, and of leaves."""
        from compiler.traffic.matrices import matrices  # which writes them, and knows this class

        found = streams(self.places.world)
        return {phase: matrices(each, self.places) for phase, each in found.items() if each}

    @property
    def phases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.phase for item in self.carried))


def traffic(world: World) -> Traffic | None:
    """None where the cluster has no room for the ranks."""
    where = places(world)
    if where is None:
        return None
    found: dict[tuple[str, str], Crossing] = {}
    for phase, each in streams(world).items():
        for stream in each:
            one, before = crossing(stream, where), found.get((phase, stream.kind))
            found[phase, stream.kind] = one if before is None else before + one
    return Traffic(where, links(where), tuple(Carried(*key, one) for key, one in found.items()))


def totals(found: Traffic | None) -> tuple[Total, ...]:
    """A row for each phase and kind, and one for all kinds of a phase."""
    return () if found is None else tuple(_totals(found))


def _totals(found: Traffic) -> Iterator[Total]:
    for phase in found.phases:
        rows = [item for item in found.carried if item.phase == phase]
        for item in rows:
            yield _total(found, item, (item.kind,))
        if len(rows) > 1:
            whole = reduce(Crossing.__add__, (item.crossing for item in rows))
            yield _total(found, Carried(phase, ALL, whole), [item.kind for item in rows])


def _total(found: Traffic, item: Carried, kinds: Sequence[str]) -> Total:
    tables = [found.places.table(kind) for kind in kinds]
    world, (_, _, nic, leaf, _) = found.places.world, found.links
    busiest = [_busiest(one, item.crossing) for one in found.links]
    seconds, sent, name = max(busiest, key=lambda each: each[0])
    sums = item.crossing.sent.sum(axis=1)
    return Total(
        phase=item.phase,
        kind=item.kind,
        span=SPANS[max(SPANS.index(world.worst_span(kind)) for kind in kinds)],
        leaves=max(int(distinct(found.places.leaf[table]).max()) for table in tables),
        bytes={name: float(sums[level]) for level, name in enumerate(SPANS) if level},
        groups_per_nic=sum(nic.shared(table) for table in tables),
        groups_per_uplink=sum(leaf.shared(table) for table in tables),
        bottleneck=name,
        bottleneck_bytes=sent,
        seconds=seconds,
    )


def _busiest(one: Links, crossing: Crossing) -> tuple[float, float, str]:
    """Seconds and bytes of the link that is busy longest, either way."""
    most = np.maximum(*one.carried(crossing))
    spent = np.divide(most, one.bandwidth, out=np.zeros_like(most), where=one.bandwidth > 0)
    at = int(np.argmax(spent))
    return float(spent[at]), float(most[at]), one.kind


def rows(found: Traffic | None) -> list[dict[str, Any]]:
    """What `plan.json` holds."""
    return [asdict(total) for total in totals(found)]
