"""What `show` answers: a rank, a group, a slot or a spare host, as plain values that are also its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.frozen import dataclass

Collective = Mapping[str, Any]
"""A row of `communication` of plan.json."""


@dataclass(frozen=True)
class Place:
    """Where a rank sits. `host` is empty where slots are not bound."""

    rank: int
    instance: int
    slot: int
    host: str
    local_rank: int
    gpu: int
    leaf: str
    pod: str


@dataclass(frozen=True)
class Neighbour:
    """A rank at the other end of `link`, one of SPANS."""

    place: Place
    link: str


@dataclass(frozen=True)
class Membership:
    """A group that a rank is in, as its member number `position`; `peers` counts the other ranks by link."""

    group: str
    position: int
    size: int
    span: str
    peers: Mapping[str, int]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class RankAnswer:
    """A rank. `places` has one entry an instance; links and groups are the first instance's. `experts` is `*` where they differ by
    layer, and then `experts_by_layer` has them.
    """

    query: str
    places: tuple[Place, ...]
    coordinates: Mapping[str, int]
    layers: str
    experts: str
    experts_by_layer: Mapping[int, str]
    memory: Mapping[str, Any]
    previous_stage: Neighbour | None
    next_stage: Neighbour | None
    groups: tuple[Membership, ...]
    collectives: tuple[Collective, ...]


@dataclass(frozen=True)
class GroupAnswer:
    """A group of the first instance: how much it spans, and each member with its link to the next (the last's to the first)."""

    query: str
    size: int
    span: str
    domains: int
    nodes: int
    leaves: int
    pods: int
    collectives: tuple[Collective, ...]
    members: tuple[Neighbour, ...]


@dataclass(frozen=True)
class Resident:
    """A rank on a slot."""

    place: Place
    coordinates: Mapping[str, int]
    layers: str
    experts: str


@dataclass(frozen=True)
class Holding:
    """Groups of one kind with a rank on a slot, by index: those that stay on it and those that leave it."""

    instance: int
    kind: str
    inside: tuple[int, ...]
    leaving: tuple[int, ...]
    worst_span: str


@dataclass(frozen=True)
class SlotAnswer:
    """A node slot and everything on it."""

    query: str
    slot: int
    host: str
    leaf: str
    pod: str
    ranks: tuple[Resident, ...]
    groups: tuple[Holding, ...]


@dataclass(frozen=True)
class SpareAnswer:
    """A host that holds no rank."""

    query: str
    host: str


Answer = RankAnswer | GroupAnswer | SlotAnswer | SpareAnswer
