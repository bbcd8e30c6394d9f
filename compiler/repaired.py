"""A plan and what it lost -> the configuration of the repaired plan: compiling that is all that a repair is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from compiler import passes
from compiler.cluster import inventory
from compiler.cluster.hosts import of_plan
from compiler.cluster.share import share
from compiler.errors import CompilerError, ConfigError
from compiler.failures import repair
from compiler.failures.losses import Cluster, Lost, cluster
from compiler.failures.moves import Move, Stored, moves, stored
from compiler.failures.repair import Copies, Machines, Seating
from compiler.failures.replicas import Replicas, replicas
from compiler.plan import Plan
from compiler.pooled import PooledPlan
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.workload import ROLES, Pool, Pools
from compiler.world import World

NEAREST = 8
"""Global batches that are tried on either side."""


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

    @property
    def hosts(self) -> tuple[str, ...]:
        return self.standing.names(self.seats.machine)

    @property
    def spares(self) -> tuple[str, ...]:
        return self.standing.names(self.seats.left)

    @property
    def part(self) -> Config:
        """The configuration on what is left: where slots are bound, the hosts by name and nobody else in the inventory."""
        hardware = self.config.hardware
        if self.standing.plan.world.slots.pinned and hardware.inventory is not None:
            table = inventory.part(hardware.inventory, [*self.hosts, *self.spares])
            hardware = replace(hardware, hosts=list(self.hosts), inventory=table)
        launch = replace(self.config.launch, spare_nodes=len(self.seats.left))
        return replace(self.config, hardware=hardware, launch=launch)


@dataclass(frozen=True)
class Standing:
    """A plan, its machines and what they hold, read once for any number of losses."""

    plan: Plan
    _fewer: dict[tuple[int, int], tuple[Config, World | None, str]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def cluster(self) -> Cluster:
        slots, hardware = self.plan.world.slots, self.plan.config.hardware
        return cluster(self.plan.world, of_plan(hardware)[slots.count :] if slots.pinned else ())

    @cached_property
    def places(self) -> Machines:
        hosts = of_plan(self.plan.config.hardware) if self.plan.world.slots.pinned else ()
        return repair.machines(self.cluster, hosts, self.plan.config.launch.spare_nodes)

    @cached_property
    def replicas(self) -> Replicas:
        return replicas(self.plan.world)

    @cached_property
    def copies(self) -> Copies:
        return repair.copies_of(self.plan.world, self.replicas)

    @cached_property
    def held(self) -> Stored:
        return stored(self.plan.costs.to_dict()["memory"]["stages"], self.zero_stage)

    @property
    def zero_stage(self) -> int:
        workload = self.plan.config.workload
        return max(workload.zero_stage, int(workload.distributed_optimizer)) if workload.train else 0

    def names(self, machines: np.ndarray) -> tuple[str, ...]:
        return tuple(self.places.names[machine] for machine in machines.tolist())

    def without(self, lost: Lost) -> Repaired | Unrepairable:
        """The plan on what is left: on spares where there are enough, else with as many copies of the model as can run."""
        room = int(repair.alive(self.cluster, self.places, lost).sum())
        if room < self.cluster.slots.count:
            return self._with_fewer(lost, room)
        seats = repair.seats(self.cluster, self.copies, self.places, lost)
        return Repaired(self, self.plan.config, seats, self._moves(self.plan.world, self.cluster, lost, seats))

    def _moves(self, world: World, new: Cluster, lost: Lost, seats: Seating) -> tuple[Move, ...]:
        return tuple(moves(world, (self.cluster, new), self.replicas, self.places, lost, seats, self.held))

    def _with_fewer(self, lost: Lost, room: int) -> Repaired | Unrepairable:
        notes: list[str] = []
        for count in range(self.copies.count - 1, 0, -1):
            config, world, why = self._tried(count, room)
            if world is not None:
                new = cluster(world, ())
                after = repair.copies_of(world, replicas(world))
                seats = repair.fewer_seats((self.cluster, self.copies), (new, after), self.places, lost)
                notes += self._after(count)
                return Repaired(self, config, seats, self._moves(world, new, lost, seats), tuple(notes))
            notes = notes or list(_what_would(config, count, self.copies.word, why)) * (config.hardware.nodes <= room)
        total, word = self.cluster.slots.count, self.copies.word
        found = (
            "; ".join(notes) or f"and no {word} fits on them" if self.copies.count > 1 else f"the plan has one {word}"
        )
        return Unrepairable(
            f"{room} of {total} nodes are left and no spare, {found}",
            f"add {total - room} hosts to the inventory as spares, and compile again",
        )

    def _tried(self, count: int, room: int) -> tuple[Config, World | None, str]:
        """The configuration with so many copies, its layout on a cluster without names, and why it has none."""
        if (count, room) not in self._fewer:
            tries = [
                (config, *_laid_out(config, room)) for config in _with_copies(self.plan.config, self.copies, count)
            ]
            self._fewer[count, room] = next((found for found in tries if found[1] is not None), tries[0])
        return self._fewer[count, room]

    def _after(self, count: int) -> Iterator[str]:
        if self.plan.config.workload.train and self.zero_stage > 0 and self.copies.word == "replica":
            yield (
                f"optimizer states are cut over {count} replicas, no longer {self.copies.count}:"
                " every rank loads its share of them from the checkpoint"
            )
        if not self.plan.world.slots.pinned:
            yield "slots are not bound to hosts: with one more free node in the cluster the plan itself starts as it is"


def _with_copies(config: Config, copies: Copies, count: int) -> Iterator[Config]:
    """The configuration with so many copies; a server's batch shrinks with them where it would no longer fit."""
    if copies.word == "instance":
        own = replace(config, framework=replace(config.framework, instances=count))
    else:
        own = replace(config, parallel=_parallel(config, count, copies.count))
    nodes = share(own).all_nodes(own.framework.instances)
    own = replace(own, hardware=replace(own.hardware, nodes=nodes, hosts=None))
    yield own
    batch = config.workload.global_batch_size * count
    if copies.word == "replica" and not config.workload.train and batch % copies.count == 0:
        yield replace(own, workload=replace(own.workload, global_batch_size=batch // copies.count))


def _parallel(config: Config, count: int, of: int) -> Parallel:
    """Degrees of `count` of the replicas: attention data parallelism shrinks with them."""
    adp = config.degrees.adp * count // of
    if config.parallel.adp is None and adp % config.parallel.ep == 0:
        return replace(config.parallel, dp=adp // config.parallel.ep)
    return replace(config.parallel, dp=None, adp=adp)


def _laid_out(config: Config, room: int) -> tuple[World | None, str]:
    if config.hardware.nodes > room:
        return None, f"it needs {config.hardware.nodes} nodes"
    unbound = replace(config, hardware=replace(config.hardware, inventory=None, pin=None))
    try:
        passes.tried(unbound)
        return passes.lay_out(unbound), ""
    except CompilerError as error:
        return None, error.problems[0].what


def _what_would(config: Config, count: int, word: str, why: str) -> Iterator[str]:
    """Why so many copies cannot run, and the nearest global batches with which they could."""
    batch, part = config.workload.global_batch_size, config.degrees.adp * config.workload.micro_batch_size
    below = [batch // part * part - part * step for step in range(NEAREST)]
    above = [batch // part * part + part * (step + 1) for step in range(NEAREST)]
    fitting = [next((size for size in sizes if size > 0 and _holds(config, size)), None) for sizes in (below, above)]
    would = [f"workload.global_batch_size={size}" for size in fitting if size is not None]
    yield f"{count} {word}s are left, and cannot run: {why}" + (
        f"; {' or '.join(would)} would keep them" if would else ""
    )


def _holds(config: Config, batch: int) -> bool:
    unbound = replace(config.hardware, inventory=None, pin=None)
    return passes.holds(replace(config, hardware=unbound, workload=replace(config.workload, global_batch_size=batch)))


def merged(plan: Plan | PooledPlan, done: Mapping[str, Repaired]) -> Config:
    """The whole configuration: the one part's, or that of the pools together. Raises ConfigError where pools share a node."""
    if isinstance(plan, Plan):
        return done[""].part
    config, pools = plan.config, plan.config.workload.pools
    if pools is None or any(part.config.hardware.within.nodes for part in plan.pools.values()):
        raise ConfigError.of(
            "the pools share a node, and a repair would move both", "compile again, with the hosts that are left"
        )
    parts = {role: done[role].part for role in ROLES}
    own = {role: _pool(pools[role], parts[role], plan.pools[role].config) for role in ROLES}
    hardware = replace(config.hardware, nodes=sum(part.hardware.nodes for part in parts.values()))
    if hardware.inventory is not None and all(part.hardware.hosts for part in parts.values()):
        names = [name for role in ROLES for name in (*done[role].hosts, *done[role].spares)]
        hosts = [host for role in ROLES for host in done[role].hosts]
        hardware = replace(hardware, hosts=hosts, inventory=inventory.part(hardware.inventory, names))
    return replace(config, hardware=hardware, workload=replace(config.workload, pools=Pools(**own)))


def _pool(pool: Pool, part: Config, before: Config) -> Pool:
    """What a pool declares, with what its repair changed."""
    batch = part.workload.global_batch_size
    return replace(
        pool,
        parallel=part.parallel,
        instances=part.framework.instances,
        spare_nodes=part.launch.spare_nodes,
        global_batch_size=pool.global_batch_size if batch == before.workload.global_batch_size else batch,
    )
