"""A configuration and what it lost -> the configuration of the repaired plan: compiling that again is all that a repair is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from compiler import passes
from compiler.cluster import inventory
from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import Host
from compiler.cluster.share import share
from compiler.errors import CompilerError, ConfigError
from compiler.failures import repair
from compiler.failures.losses import Cluster, Lost, Mask, cluster
from compiler.failures.moves import Move, moves, stored
from compiler.failures.repair import Copies, Machines, Seating
from compiler.failures.replicas import replicas
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
    """`part` is what the repaired plan declares, hosts aside where they are not known; `notes` are for whoever decides."""

    part: Config
    seats: Seating
    places: Machines
    moves: tuple[Move, ...]
    copies: Copies
    notes: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self.places.names[machine] for machine in self.seats.machine.tolist())

    @property
    def spares(self) -> tuple[str, ...]:
        return tuple(self.places.names[machine] for machine in self.seats.left.tolist())


def machines_of(plan: Plan) -> tuple[Cluster, Machines]:
    """The machines of a plan, spares included."""
    world, config = plan.world, plan.config
    slots = world.slots
    hosts: tuple[Host, ...] = of_plan(config.hardware) if slots.pinned else ()
    return cluster(world, hosts[slots.count :]), repair.machines(cluster(world, ()), hosts, config.launch.spare_nodes)


def repaired(plan: Plan, lost: Lost) -> Repaired | Unrepairable:
    """The plan on what is left: on spares where there are enough, else with as many copies of the model as can run."""
    old, places = machines_of(plan)
    there = repair.alive(old, places, lost)
    copies = repair.copies_of(plan.world)
    left = _on(plan, places, there)
    if there.sum() >= old.slots.count:
        seats = repair.seats(old, copies, places, lost)
        return _done(plan, left, plan.world, lost, seats, ())
    return _fewer(plan, left, lost, int(there.sum()))


def _on(plan: Plan, places: Machines, there: Mask) -> Config:
    """The configuration on the machines that are left, as many of them as it has nodes. Nobody knows those of an unbound plan."""
    config, room = plan.config, int(there.sum())
    names = [places.names[machine] for machine in np.flatnonzero(there).tolist()]
    table = config.hardware.inventory
    if plan.world.slots.pinned and table is not None:
        table = inventory.part(table, names)
    hardware = replace(config.hardware, inventory=table, hosts=None)
    spares = max(room - config.hardware.nodes, 0)
    return replace(config, hardware=hardware, launch=replace(config.launch, spare_nodes=spares))


def _fewer(plan: Plan, left: Config, lost: Lost, room: int) -> Repaired | Unrepairable:
    """With fewer copies: as many as fit on the machines that are left and keep every rule."""
    copies, notes = repair.copies_of(plan.world), list[str]()
    least = room + 1
    for count in range(copies.count - 1, 0, -1):
        for config in _with_copies(left, copies, count, room):
            least = min(least, config.hardware.nodes)
            if config.hardware.nodes > room:
                continue
            world, why = _tried(config)
            if world is not None:
                seats = _seats(plan, world, copies, lost)
                return _done(plan, config, world, lost, seats, tuple(notes))
            notes = notes or list(_what_would(config, count, copies.word, why))
    kept = f"{copies.word}s" if copies.count > 1 else f"{copies.word}, and there is no other"
    return Unrepairable(
        f"{room} of {plan.world.slots.count} nodes are left without a spare, and they hold no whole number of {kept}"
        if least > room
        else "; ".join(notes),
        f"add {plan.world.slots.count - room} hosts to the inventory as spares"
        if copies.count == 1 or least > room
        else "change the degrees or the batch, and compile again",
    )


def _seats(plan: Plan, world: World, copies: Copies, lost: Lost) -> Seating:
    old, places = machines_of(plan)
    return repair.fewer_seats((old, copies), (cluster(world, ()), repair.copies_of(world)), places, lost)


def _with_copies(config: Config, copies: Copies, count: int, room: int) -> Iterator[Config]:
    """The configuration with so many copies; a server's batch shrinks with them where it would no longer fit."""
    if copies.word == "instance":
        own = replace(config, framework=replace(config.framework, instances=count))
    else:
        own = replace(config, parallel=_parallel(config, count, copies.count))
    nodes = share(own).all_nodes(own.framework.instances)
    own = replace(
        own,
        hardware=replace(own.hardware, nodes=nodes),
        launch=replace(own.launch, spare_nodes=max(room - nodes, 0)),
    )
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


def _tried(config: Config) -> tuple[World | None, str]:
    """Its layout, or why it has none."""
    try:
        passes.tried(config)
        return passes.lay_out(config), ""
    except CompilerError as error:
        return None, error.problems[0].what


def _what_would(config: Config, count: int, word: str, why: str) -> Iterator[str]:
    """Why so many copies cannot run, and the nearest global batches with which they could."""
    batch, part = config.workload.global_batch_size, config.degrees.adp * config.workload.micro_batch_size
    tried = (
        [batch // part * part - part * step for step in range(NEAREST)],
        [batch // part * part + part * (step + 1) for step in range(NEAREST)],
    )
    fitting = [next((size for size in sizes if size > 0 and _holds(config, size)), None) for sizes in tried]
    would = [f"workload.global_batch_size={size}" for size in fitting if size is not None]
    yield f"{count} {word}s are left, and cannot run: {why}" + (
        f"; {' or '.join(would)} would keep them" if would else ""
    )


def _holds(config: Config, batch: int) -> bool:
    return passes.holds(replace(config, workload=replace(config.workload, global_batch_size=batch)))


def _done(plan: Plan, config: Config, world: World, lost: Lost, seats: Seating, notes: tuple[str, ...]) -> Repaired:
    """`config` and `world` are the new plan's, on no host yet."""
    old, places = machines_of(plan)
    workload = plan.config.workload
    stage = max(workload.zero_stage, int(workload.distributed_optimizer)) if workload.train else 0
    held = stored(plan.costs.to_dict(), stage)
    new = cluster(world, ())
    found = moves(world, (old, new), replicas(plan.world), places, lost, seats, held)
    hosts = [places.names[machine] for machine in seats.machine.tolist()] if plan.world.slots.pinned else None
    part = replace(config, hardware=replace(config.hardware, hosts=hosts))
    return Repaired(part, seats, places, tuple(found), repair.copies_of(plan.world), notes)


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
    names = [name for role in ROLES for name in (*done[role].hosts, *done[role].spares)]
    hardware = replace(config.hardware, nodes=sum(part.hardware.nodes for part in parts.values()))
    if hardware.inventory is not None and all(part.hardware.hosts for part in parts.values()):
        hosts = [host for role in ROLES for host in parts[role].hardware.hosts or ()]
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
