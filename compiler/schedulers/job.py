"""What every target needs to know of a launch, decided once: what runs, on how many nodes, with which values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from compiler.checks import Check
from compiler.cluster.hosts import known
from compiler.cluster.share import Share
from compiler.errors import ConfigError, Problem
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Argument, Computed, Emission
from compiler.frameworks.router import Router
from compiler.frozen import dataclass
from compiler.pool_words import own_words
from compiler.render.artifacts import to_json
from compiler.schedulers import fabric, nvrx, torchrun
from compiler.schedulers.given import parsed
from compiler.schedulers.values import Mount, Secret
from compiler.specs.config import Config
from compiler.specs.hardware import Within
from compiler.specs.launch import Launch
from compiler.specs.site import Site
from compiler.world import World


class Planned(Protocol):
    """The part of a plan that a launch reads."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def config(self) -> Config: ...
    @property
    def world(self) -> World: ...
    @property
    def contents(self) -> Mapping[str, Any]: ...


class Launched(Protocol):
    """The same of what is launched together: its parts by name, one without a name where a plan is alone."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def config(self) -> Config: ...
    @property
    def parts(self) -> Mapping[str, Planned]: ...


@dataclass(frozen=True)
class Job:
    """A launch. `nodes` and `world_size` are of one instance; `ranks_per_node` is below `gpus_per_node` where several share one.

    `command` is empty where the self-check alone runs; `other_command`, where it differs, is that of every node but the first; `hosts` (in slot order) and `spares` are empty unless pinned.
    `standby` are nodes on which a launcher waits for one of those to be lost.
    `computed` are variables that each node's own starter completes; `shared` holds path and text of what a rank may read in the plan folder, `runtime/` aside.
    """

    name: str
    fingerprint: str
    world_size: int
    instances: int
    nodes: int
    gpus_per_node: int
    ranks_per_node: int
    unit: str
    mpi: str | None
    http_port: Computed | None
    http_host: str
    http_scheme: str
    router: Router | None
    command: tuple[Argument, ...]
    other_command: tuple[Argument, ...] | None
    environment: tuple[tuple[str, str], ...]
    computed: tuple[tuple[str, Computed], ...]
    secrets: tuple[Secret, ...]
    mounts: tuple[Mount, ...]
    time_limit_s: int
    hosts: tuple[str, ...]
    spares: tuple[str, ...]
    standby: int
    shared: tuple[tuple[str, str], ...]
    world: World

    @property
    def launch(self) -> Launch:
        return self.world.config.launch

    @property
    def site(self) -> Site:
        return self.world.config.site

    @property
    def share(self) -> Share:
        """What an instance has of its nodes."""
        return self.world.slots.share

    @property
    def within(self) -> Within:
        """The nodes that two pools have together, where they share some."""
        return self.world.config.hardware.within

    @property
    def container_paths(self) -> tuple[str, ...]:
        """What must be on every node before a container of Slurm starts there: mounts, and an image that is a file."""
        image = self.launch.image
        if image is None or self.site.slurm.container == "none":
            return ()
        file = (image,) if image.startswith("/") else ()
        return (*file, *(mount.source for mount in self.mounts))

    @property
    def all_nodes(self) -> int:
        """Nodes that hold ranks, of all instances together."""
        return self.share.all_nodes(self.instances)

    @property
    def requested_nodes(self) -> int:
        """The same with spares; those of both where pools share nodes."""
        spares = len(self.spares) if self.hosts else self.launch.spare_nodes
        return (self.within.nodes or self.all_nodes) + spares

    @property
    def tasks_per_node(self) -> int:
        """Processes of one instance that the launcher starts on a node."""
        return self.ranks_per_node if self.unit == "rank" else 1

    @property
    def tasks(self) -> int:
        """Processes of one instance that the launcher starts."""
        return self.tasks_per_node * self.nodes

    @property
    def assignments(self) -> tuple[str, ...]:
        """The environment as `NAME=value` words."""
        return tuple(f"{name}={value}" for name, value in self.environment)

    @property
    def secret_files(self) -> tuple[Secret, ...]:
        return tuple(secret for secret in self.secrets if secret.file)


@dataclass(frozen=True)
class Jobs:
    """Jobs that start together, prefill's first, or a plan's only one, whose part has no name; name and fingerprint of all."""

    name: str
    fingerprint: str
    parts: tuple[tuple[str, Job], ...]

    @property
    def alone(self) -> Job | None:
        """The only job of a plan without pools."""
        (part, job), *others = self.parts
        return None if part or others else job

    @property
    def instances(self) -> int:
        return sum(job.instances for _, job in self.parts)

    @property
    def together(self) -> bool:
        """Whether parts share nodes, and so an allocation."""
        return any(job.within.nodes for _, job in self.parts)

    def each(self, checks: Callable[[Job], Iterable[Check]]) -> Iterator[Check]:
        """Checks of every job, with its part in front where it has a name."""
        for part, job in self.parts:
            for found in checks(job):
                yield replace(found, id=f"{part}.{found.id}" if part else found.id)


def jobs(plan: Launched) -> Jobs:
    """Decide what is launched together. Raises ConfigError with every bad value, by the key that the user wrote."""
    found, bad = [], list[Problem]()
    for part, own in plan.parts.items():
        try:
            found.append((part, job(own)))
        except ConfigError as error:
            if not part:
                raise
            bad += [
                replace(problem, what=own_words(plan.config, part, problem.what)).of(part) for problem in error.problems
            ]
    if bad:
        raise ConfigError(bad)
    return Jobs(plan.name, plan.fingerprint, tuple(found))


def job(plan: Planned) -> Job:
    """Decide a launch. Raises ConfigError with every bad value."""
    world, launch, share = plan.world, plan.config.launch, plan.world.slots.share
    emission = adapter(plan.config.framework.name).emission(world)
    secrets, mounts, time_limit_s = parsed(plan.config, share)
    told = nvrx.told(world)
    variables = _variables(plan.config, emission, numbered=told is not None)
    program = emission.program if launch.command is None else tuple(launch.command)
    agent = nvrx.words(world, launch.unit) or torchrun.told(program, launch.unit, world)
    return Job(
        name=plan.name,
        fingerprint=plan.fingerprint,
        world_size=world.size,
        instances=world.instances,
        nodes=share.nodes,
        gpus_per_node=share.gpus,
        ranks_per_node=share.ranks,
        unit="node" if agent else launch.unit or emission.unit,
        mpi=emission.mpi,
        http_port=emission.http_port,
        http_host=emission.http_host,
        http_scheme=emission.http_scheme,
        router=emission.router,
        command=(*(agent or program), *emission.arguments),
        other_command=None if emission.others is None else (*(agent or program), *emission.others),
        environment=tuple((name, value) for name, value in variables if isinstance(value, str)),
        computed=tuple((name, value) for name, value in variables if isinstance(value, Computed)),
        secrets=secrets,
        mounts=mounts,
        time_limit_s=time_limit_s,
        hosts=_hosts(world),
        spares=world.slots.spares[: launch.spare_nodes],
        standby=0 if told is None else told.spares,
        shared=(("plan.json", to_json(plan.contents)), *((file.path, str(file.text)) for file in emission.files)),
        world=world,
    )


def _hosts(world: World) -> tuple[str, ...]:
    """Where a plan is pinned, hosts of its nodes; of those of both where pools share some."""
    slots, hardware = world.slots, world.config.hardware
    if slots.hosts and hardware.within.nodes:
        return tuple(host.host for host in known(hardware)[: hardware.within.nodes])
    return slots.hosts[: slots.share.all_nodes(world.instances)]


def _variables(config: Config, emission: Emission, *, numbered: bool) -> list[tuple[str, str | Computed]]:
    """The environment by name: the user's values go before the site's, and both before ours. A launcher that numbers nodes is told
    the `numbered` one's slot.
    """
    role = {} if config.workload.role is None else {"RANKPLAN_POOL": config.workload.role}
    slot = {nvrx.NUMBER: Computed("{NODE_RANK}")} if numbered else {}
    own = {**role, **slot, **fabric.environment(config), **emission.environment}
    return sorted({**own, **config.environment}.items())
