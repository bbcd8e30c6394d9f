"""A configuration with fewer copies of the model, if the rules let it run, and what would let more of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from compiler import passes
from compiler.cluster.share import share
from compiler.errors import CompilerError
from compiler.failures import repair
from compiler.failures.losses import Cluster, cluster
from compiler.failures.repair import Copies
from compiler.failures.replicas import replicas
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.world import World

NEAREST = 8
"""Global batches that are tried on either side."""


@dataclass(frozen=True)
class Smaller:
    """A configuration with fewer copies, and its layout; None where it needs more nodes than there are, or breaks a rule."""

    config: Config
    world: World | None

    @property
    def why(self) -> str:
        """The rule that it breaks."""
        try:
            passes.tried(_unbound(self.config))
        except CompilerError as error:
            return error.problems[0].what
        return f"it needs {self.config.hardware.nodes} nodes"

    @cached_property
    def cluster(self) -> Cluster:
        return cluster(self._laid_out, ())

    @cached_property
    def copies(self) -> Copies:
        return repair.copies_of(self._laid_out, replicas(self._laid_out))

    @property
    def _laid_out(self) -> World:
        if self.world is None:
            raise ValueError(self.why)
        return self.world


def smaller(config: Config, copies: Copies, count: int, room: int) -> Smaller:
    """The plan with `count` of its copies on at most `room` nodes, none of which has a name yet."""
    tries = [Smaller(given, _laid_out(given, room)) for given in _with_copies(config, copies, count)]
    return next((found for found in tries if found.world is not None), tries[0])


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


def runs(config: Config) -> bool:
    """Whether a configuration breaks no rule."""
    try:
        passes.tried(config)
    except CompilerError:
        return False
    return True


def _laid_out(config: Config, room: int) -> World | None:
    unbound = _unbound(config)
    if config.hardware.nodes > room or not passes.holds(unbound) or not runs(unbound):
        return None
    return lay_out(unbound)


def _unbound(config: Config) -> Config:
    """The same on a cluster of which nobody knows the hosts."""
    return replace(config, hardware=replace(config.hardware, inventory=None, pin=None))


def what_would(config: Config, count: int, word: str, why: str) -> Iterator[str]:
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
    return passes.holds(_unbound(replace(config, workload=replace(config.workload, global_batch_size=batch))))
