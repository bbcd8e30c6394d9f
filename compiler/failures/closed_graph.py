"""The rank graph in closed form: what a loss hits and who takes its place, from grids and slots alone, at any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cached_property

from compiler.cluster.inventory import Host
from compiler.cluster.layout import Layout
from compiler.cluster.spans import SPANS
from compiler.failures import leaves, losses, repair
from compiler.failures.damage import Damage, damage
from compiler.failures.leaves import WorstLeaf
from compiler.failures.losses import Cluster, Lost
from compiler.failures.repair import Copies, Machines, Seating
from compiler.failures.replicas import Replicas, replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks


@dataclass(frozen=True)
class ClosedGraph:
    """`hosts` are those of the slots, and spares behind; none where slots are not bound, which have so many `spare_nodes`.
    `expert_slots` has the expert in each slot of each layer where a map places them.
    """

    layout: Layout
    hosts: tuple[Host, ...] = ()
    spare_nodes: int = 0
    expert_slots: Mapping[int, Ranks] = field(default_factory=dict)

    def span(self, group: str) -> str:
        """The slowest link that a group crosses; `group` as `group/ep/3`."""
        _, kind, index = group.split("/")
        return SPANS[int(self.layout.spans(kind)[int(index)])]

    @cached_property
    def cluster(self) -> Cluster:
        """What each rank sits on."""
        return losses.cluster(self.layout, self.hosts[self.layout.slots.count :])

    @cached_property
    def machines(self) -> Machines:
        """Nodes and spares, and where they hang."""
        return repair.machines(self.cluster, self.hosts, self.spare_nodes)

    @cached_property
    def replicas(self) -> Replicas:
        return replicas(self.layout)

    @cached_property
    def copies(self) -> Copies:
        return repair.copies_of(self.layout, self.replicas)

    def lost(self, *given: str) -> Lost:
        """What is named, as in `leaf=rack3`. Raises ConfigError for what names nothing of the plan."""
        return losses.lost(self.cluster, given)

    def impact(self, lost: Lost) -> Damage:
        """What is hit, and what is left."""
        return damage(self.layout, self.replicas, lost, self.expert_slots)

    @cached_property
    def worst_leaf(self) -> WorstLeaf:
        """The leaf that takes most replicas with it."""
        return leaves.worst_leaf(self.cluster, self.replicas)

    def repair(self, lost: Lost) -> Seating | None:
        """Which machine has each slot afterwards, of as many copies as before; None where too few are left."""
        left = int(repair.alive(self.cluster, self.machines, lost).sum())
        return None if left < self.cluster.slots.count else repair.seats(self.cluster, self.copies, self.machines, lost)
