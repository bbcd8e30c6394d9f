"""A plan and what it lost -> the configuration of the repaired plan: compiling that is all that a repair is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from functools import cached_property

from compiler.cluster import inventory
from compiler.cluster.hostlist import fold
from compiler.failures import repair
from compiler.failures.losses import Cluster, Lost
from compiler.failures.moves import Move, Stored, moves, stored
from compiler.failures.renumbered import renumbered
from compiler.failures.repair import Seating
from compiler.frozen import dataclass
from compiler.graph_answers import RankGraph
from compiler.layout.grid import Ranks
from compiler.plan import Plan
from compiler.repairs.fewer import Smaller, runs, smaller, what_would
from compiler.schedulers import nvrx
from compiler.specs.config import Config
from compiler.words import natural, several
from compiler.world import World


@dataclass(frozen=True)
class Unrepairable:
    """Why no plan is left, and what would make one."""

    what: str
    instead: str


@dataclass(frozen=True)
class Repaired:
    """`config` is what the repaired plan declares, but for its machines; `notes` are for whoever decides."""

    standing: Standing
    config: Config
    seats: Seating
    moves: tuple[Move, ...]
    notes: tuple[str, ...] = ()
    lost: Lost | None = None

    @property
    def renumbered(self) -> int:
        """Nodes that a launcher with hot spares would number anew, of the same hosts; 0 where there are not enough spares."""
        return 0 if self.lost is None else self.standing.renumbered(self.lost)

    @property
    def hosts(self) -> tuple[str, ...]:
        return self.standing.names(self.seats.machine)

    @property
    def spares(self) -> tuple[str, ...]:
        return self.standing.names(self.seats.left)

    @cached_property
    def part(self) -> Config:
        """The configuration on what is left: where slots are bound, the hosts by name and nobody else in the inventory; else as
        many spares as the rules let it ask for: those that are left, fewer, or as many as before.
        """
        hardware, left = self.config.hardware, len(self.seats.left)
        if self.standing.plan.world.slots.pinned and hardware.inventory is not None:
            table = inventory.part(hardware.inventory, [*self.hosts, *self.spares])
            hardware = replace(hardware, hosts=fold(self.hosts), inventory=table)
            return replace(self.config, hardware=hardware, launch=replace(self.config.launch, spare_nodes=left))
        asked = [
            replace(self.config, launch=replace(self.config.launch, spare_nodes=n))
            for n in (*range(left, -1, -1), self.config.launch.spare_nodes)
        ]
        return next((config for config in asked if runs(config)), asked[0])


@dataclass(frozen=True)
class Standing:
    """A plan, its machines and what they hold, read once for any number of losses."""

    plan: Plan
    _smaller: dict[tuple[int, int], Smaller] = field(default_factory=dict, init=False, repr=False)

    @property
    def graph(self) -> RankGraph:
        return self.plan.graph

    @cached_property
    def held(self) -> Stored:
        return stored(self.plan.costs.to_dict()["memory"]["stages"], self.zero_stage)

    @property
    def zero_stage(self) -> int:
        workload = self.plan.config.workload
        return max(workload.zero_stage, int(workload.distributed_optimizer)) if workload.train else 0

    def renumbered(self, lost: Lost) -> int:
        """Segments are of NVLink domains of several nodes, where the job asks for them, else of leaves. Nodes join by name, or as NVRx
        is told where it runs the job.
        """
        hardware, places = self.plan.config.hardware, self.graph.machines
        slurm = self.plan.config.scheduler.get("slurm")
        wide = hardware.nvlink.domain_gpus > hardware.node.gpus
        told = nvrx.told(self.plan.world)
        segment = getattr(slurm, "segment", None) if told is None else told.segment
        order = list(range(len(places.names)))
        if told is None:
            order.sort(key=lambda machine: natural(places.names[machine]))
        domains = (places.rack if wide else places.leaf)[order].tolist()
        if told is not None and len(told.domains) == len(order):  # those of one world alone
            domains = list(told.domains)
        alive = repair.alive(self.graph.cluster, places, lost)
        gone = [at for at, machine in enumerate(order) if not alive[machine]]
        return renumbered(domains, segment, self.graph.cluster.slots.count, gone)

    def names(self, machines: Ranks) -> tuple[str, ...]:
        return tuple(self.graph.machines.names[machine] for machine in machines.tolist())

    def without(self, lost: Lost) -> Repaired | Unrepairable:
        """The plan on what is left: on spares where there are enough, else with as many copies of the model as can run."""
        seats = self.graph.repair(lost)
        if seats is None:
            return self._with_fewer(lost, int(repair.alive(self.graph.cluster, self.graph.machines, lost).sum()))
        found = self._moves(self.plan.world, self.graph.cluster, lost, seats)
        return Repaired(self, self.plan.config, seats, found, lost=lost)

    def _moves(self, world: World, new: Cluster, lost: Lost, seats: Seating) -> tuple[Move, ...]:
        return tuple(
            moves(world, (self.graph.cluster, new), self.graph.replicas, self.graph.machines, lost, seats, self.held)
        )

    def _with_fewer(self, lost: Lost, room: int) -> Repaired | Unrepairable:
        notes: list[str] = []
        for count in range(self.graph.copies.count - 1, 0, -1):
            new = self._with(count, room)
            if new.world is not None:
                seats = repair.fewer_seats(
                    (self.graph.cluster, self.graph.copies), (new.cluster, new.copies), self.graph.machines, lost
                )
                found = self._moves(new.world, new.cluster, lost, seats)
                return Repaired(self, new.config, seats, found, (*notes, *self._after(count)))
            if not notes and new.config.hardware.nodes <= room:
                notes += what_would(new.config, count, self.graph.copies.word, new.why)
        total, word = self.graph.cluster.slots.count, self.graph.copies.word
        why = (
            "; ".join(notes) or f"and no {word} fits on them"
            if self.graph.copies.count > 1
            else f"the plan has one {word}"
        )
        return Unrepairable(
            f"{room} of {total} nodes are left and no spare, {why}",
            f"add {total - room} hosts to the inventory as spares, and compile again",
        )

    def _with(self, count: int, room: int) -> Smaller:
        """The plan with so many copies, on a cluster without names."""
        if (count, room) not in self._smaller:
            self._smaller[count, room] = smaller(self.plan.config, self.graph.copies, count, room)
        return self._smaller[count, room]

    def _after(self, count: int) -> Iterator[str]:
        if self.plan.config.workload.train and self.zero_stage > 0 and self.graph.copies.word == "replica":
            yield (
                f"optimizer states are cut over {several(count, 'replica')}, no longer {self.graph.copies.count}:"
                " every rank loads its share of them from the checkpoint"
            )
        if not self.plan.world.slots.pinned:
            yield "slots are not bound to hosts: with one more free node in the cluster the plan itself starts as it is"
