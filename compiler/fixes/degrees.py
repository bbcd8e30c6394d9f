"""Degrees and instances that fill the cluster under the framework's own rules, nearest to the written ones first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from compiler.cluster.share import split
from compiler.fixes import change
from compiler.frameworks.adapter import adapter
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.degrees import WRITTEN, Degrees, Parallel, resolve
from compiler.specs.workload import ROLES

CHEAP = 0.25
"""What a doubling of dp or of instances counts, of any other degree 1: it is they that a cluster is filled with."""

SPREAD = 0.5
"""What each doubling of a server's instance counts beyond what NVLink joins: it scales by more instances, not by larger ones."""

BEYOND = 100.0
"""What ranks of tp or etp beyond what NVLink joins count, so that they come after all that keep within it."""

LARGEST = 32
"""How many times as many nodes a fix may ask for; more is another cluster."""


@dataclass(frozen=True)
class Target:
    """Degrees of one instance, how many instances, and how many nodes they fill."""

    degrees: Degrees
    instances: int
    nodes: int

    @property
    def shards(self) -> tuple[int, int]:
        """Parts that dense weights are in, and those of experts."""
        return self.degrees.tp * self.degrees.pp, self.degrees.etp * self.degrees.ep * self.degrees.pp

    def larger(self, config: Config) -> bool:
        """Whether it has only more or fewer replicas, or instances: what fills a cluster without another thought."""
        now = config.degrees
        return replace(self.degrees, adp=now.adp) == now and self.nodes == config.hardware.nodes

    def same(self, config: Config) -> bool:
        """Whether a configuration has it already."""
        now = (config.degrees, config.framework.instances, config.hardware.nodes)
        return (self.degrees, self.instances, self.nodes) == now


def nearest(config: Config, nodes: int) -> list[Target]:
    """Every way to fill so many nodes that a model's sizes allow, nearest first."""
    given, gpus = Target(config.degrees, config.framework.instances, nodes), nodes * config.hardware.node.gpus
    several = _serves(config) or given.instances > 1
    counts = [count for count in divisors(gpus) if several or count == 1]
    found = {
        (_distance(given, target, config), target.degrees.name, count, target.degrees.vpp): target
        for count in counts
        for target in _filling(config, gpus // count, count, nodes)
    }
    return [found[place] for place in sorted(found)]


def grown(config: Config, nodes: int, least: float = 1.0) -> Iterator[Target]:
    """Larger degrees on at least so many times the nodes, the fewest first: for what fits nowhere on this cluster."""
    given, domain = config.degrees, config.hardware.nvlink.domain_gpus
    tps = [tp for tp in _tps(config) if tp % given.tp == 0 and tp <= max(domain, given.tp)]
    pps = [pp for pp in range(given.pp, given.pp * LARGEST + 1) if _deals(config, pp, given.vpp)]
    eps = [ep for ep in divisors(max(config.model.num_experts, 1)) if ep % given.ep == 0]
    found = []
    for tp, pp, ep, times in product(tps, pps, eps, (1, 2, 4, 8)):
        adp = given.adp * (ep // given.ep) * times
        etp = tp if given.etp == given.tp else given.etp
        target = Target(replace(given, tp=tp, pp=pp, ep=ep, etp=etp, adp=adp), config.framework.instances, nodes)
        scale, rest = divmod(nodes * target.degrees.world_size, given.world_size)
        if not rest and nodes < scale <= nodes * LARGEST and scale >= nodes * least:
            found.append(replace(target, nodes=scale))
    one = Target(given, config.framework.instances, nodes)
    yield from sorted(found, key=lambda target: (target.nodes, _distance(one, target, config), target.degrees.name))


def fuller(one: Target, other: Target) -> bool:
    """Whether each rank of one holds at least as much of weights and tokens as of the other, which has no room."""
    ours, theirs = (
        (*one.shards, one.degrees.adp * one.degrees.cp),
        (*other.shards, other.degrees.adp * other.degrees.cp),
    )
    return all(a <= b for a, b in zip(ours, theirs, strict=True))


def _filling(config: Config, world: int, instances: int, nodes: int) -> Iterator[Target]:
    given, model = config.degrees, config.model
    tps = [tp for tp in _tps(config) if world % tp == 0]
    pps = [pp for pp in divisors(world) if _deals(config, pp, given.vpp)]
    eps = [ep for ep in divisors(max(model.num_experts, 1)) if world % ep == 0]
    vpps = {given.vpp, 1} | ({2} if config.workload.schedule == "interleaved" else set())
    for tp, pp, ep, cp, vpp in product(tps, pps, eps, {given.cp, 1}, vpps):
        adp, rest = divmod(world, tp * pp * cp)
        if rest or not adp:
            continue
        width = tp * cp * adp
        etps = {tp if given.etp == given.tp else given.etp, 1, width // ep} if model.moe else {1}
        for etp in etps:
            if etp and width % (etp * ep) == 0 and (not model.moe or model.expert_size % etp == 0):
                yield Target(Degrees(tp, cp, pp, vpp, ep, etp, adp, model.moe), instances, nodes)


def _serves(config: Config) -> bool:
    return adapter(config.framework.name).serves


def _tps(config: Config) -> list[int]:
    return divisors(config.model.num_attention_heads)


def _deals(config: Config, pp: int, vpp: int) -> bool:
    """Whether somebody deals the layers out to so many stages."""
    layers = config.model.num_hidden_layers
    if pp == config.degrees.pp or layers % pp == 0:
        return True
    return pp <= layers and adapter(config.framework.name).uneven_stages(config, pp * vpp) is not None


def _distance(one: Target, other: Target, config: Config) -> float:
    """The sum over degrees of |log2 ratio|, and what speaks against the other one itself."""
    a, b, domain = one.degrees, other.degrees, config.hardware.nvlink.domain_gpus
    dear: list[tuple[float, float]] = [(a.tp, b.tp), (a.ep, b.ep), (a.cp, b.cp), (a.vpp, b.vpp)]
    cheap: list[tuple[float, float]] = [(a.adp / a.ep, b.adp / b.ep), (one.instances, other.instances)]
    serves = _serves(config)
    (cheap if serves and b.pp < a.pp else dear).append((a.pp, b.pp))  # a server's stages only make room for weights
    if config.model.moe:
        (cheap if serves else dear).append((a.etp / a.tp, b.etp / b.tp))
    against = CHEAP * (config.model.num_hidden_layers % (b.pp * b.vpp) != 0)
    if serves:
        against += SPREAD * max(0.0, math.log2(b.world_size / domain)) + (b.edp > 1)
    for mine, theirs in ((a.tp, b.tp), (a.etp, b.etp)):
        against += BEYOND * (theirs > max(domain, mine))
    return round(_steps(dear) + CHEAP * _steps(cheap) + against, 6)


def _steps(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(abs(math.log2(a / b)) for a, b in pairs)


def divisors(number: int) -> list[int]:
    small = [i for i in range(1, math.isqrt(number) + 1) if number % i == 0]
    return sorted({*small, *(number // i for i in small)})


def laid(config: Config, target: Target) -> Config:
    """The configuration with a target's degrees, instances and nodes."""
    d, stages = target.degrees, config.parallel.stages
    kept = stages if stages is not None and len(stages) == d.pp * d.vpp else None
    parallel = Parallel(d.tp, d.cp, d.pp, d.vpp, d.ep, d.etp, None, d.adp, config.parallel.order, kept)
    framework = replace(config.framework, instances=target.instances)
    return replace(
        config,
        parallel=parallel,
        framework=framework,
        hardware=replace(config.hardware, nodes=target.nodes),
    )


def overrides(config: Config, target: Target, given: Sequence[str], role: str | None = None) -> tuple[str, ...]:
    """What a user writes to get there: one `parallel=` where that is all, else each key that changes."""
    if role is not None:
        key = f"workload.pools.{role}"
        more = (f"{key}.instances={target.instances}",) * (target.instances != config.framework.instances)
        return (*((f"{key}.parallel={target.degrees.name}",) * (target.degrees != config.degrees)), *more)
    others = [f"framework.instances={target.instances}"] * (target.instances != config.framework.instances)
    others += [f"hardware.nodes={target.nodes}"] * (target.nodes != config.hardware.nodes)
    stages = config.parallel.stages
    if stages is not None and len(stages) != target.degrees.pp * target.degrees.vpp:
        others.append("parallel.stages=null")
    if target.degrees == config.degrees:
        return tuple(others)
    if not others and not any(map(is_degree, given)):
        return (f"parallel={target.degrees.name}",)
    return (*_keys(config.parallel, target.degrees), *others)


def is_degree(override: str) -> bool:
    """Whether it writes one degree, which stays whatever `parallel=` says."""
    group, _, name = change.key(override).partition(".")
    return group == "parallel" and name in WRITTEN


def _keys(now: Parallel, wanted: Degrees) -> Iterator[str]:
    """Degrees one by one; `dp` or `adp`, whichever is written already."""
    for name in ("tp", "cp", "pp", "vpp", "ep"):
        if getattr(now, name) != getattr(wanted, name):
            yield f"parallel.{name}={getattr(wanted, name)}"
    changed = replace(now, tp=wanted.tp, cp=wanted.cp, pp=wanted.pp, vpp=wanted.vpp, ep=wanted.ep)
    if resolve(changed, wanted.moe).adp != wanted.adp:
        if now.adp is None and wanted.dp is not None:
            yield f"parallel.dp={wanted.dp}"
        else:
            yield from ["parallel.dp=null"] * (now.dp is not None)
            yield f"parallel.adp={wanted.adp}"
    if wanted.moe and resolve(changed, wanted.moe).etp != wanted.etp:
        yield f"parallel.etp={wanted.etp}"


def pool_nodes(config: Config, role: str) -> int:
    """Nodes that are left to a pool by the other one."""
    other = config.workload.pools[ROLES[1 - ROLES.index(role)]]
    own = split(resolve(other.parallel, config.model.moe).world_size, config.hardware.node.gpus)
    return config.hardware.nodes - own.all_nodes(other.instances)
