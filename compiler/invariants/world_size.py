"""Ranks against GPUs, and the degrees that would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from compiler.checks import Check, check
from compiler.invariants.registry import declared
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees
from compiler.specs.limits import NODES, RANKS


@declared
def gpus(config: Config) -> Iterator[Check]:
    """Every GPU of the cluster holds exactly one rank, and there are not more ranks than a plan can have."""
    degrees, hardware, instances = config.degrees, config.hardware, config.framework.instances
    ranks = config.ranks
    times = f" x {instances} instances" * (instances > 1)
    product_ = f"tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} x pp{degrees.pp}{times} = {ranks} ranks"
    size = f"{hardware.nodes} nodes x {hardware.node.gpus} GPUs = {hardware.gpus}"
    if ranks > RANKS:
        fix = f"write degrees and instances whose product is at most {RANKS}"
        yield check("world-size", False, ranks, RANKS, f"{product_}; a plan has at most {RANKS}", fix)
        return
    yield check(
        "world-size", ranks == hardware.gpus, ranks, hardware.gpus, f"{product_}; the cluster has {size}", _fix(config)
    )


def _fix(config: Config) -> str:
    hardware, instances = config.hardware, config.framework.instances
    nodes, rest = divmod(config.ranks, hardware.node.gpus)
    fixes = [f"hardware.nodes={nodes}"] if 0 < nodes <= NODES and not rest else []
    if hardware.gpus % instances == 0 and hardware.gpus <= RANKS:
        fixes += [f"parallel={found.name}" for found in nearest(config, hardware.gpus // instances)]
    return (
        "write " + " or ".join(fixes)
        if fixes
        else f"write a number of nodes whose GPUs divide by {instances} instances"
    )


def nearest(config: Config, world_size: int, count: int = 3) -> list[Degrees]:
    """The `count` sets of degrees nearest to the written ones that fill `world_size` ranks and suit the model.

    Nearness is the sum over degrees of |log2 ratio|; cp and vpp stay as they are, etp stays tied to tp where it is.
    """
    given, model = config.degrees, config.model
    tied = given.etp == given.tp
    found: list[tuple[float, str, Degrees]] = []
    tps = [tp for tp in _divisors(world_size) if model.num_attention_heads % tp == 0]
    pps = [pp for pp in _divisors(world_size) if model.num_hidden_layers % (pp * given.vpp) == 0]
    eps = [ep for ep in _divisors(max(model.num_experts, 1)) if world_size % ep == 0]
    for tp, pp, ep in product(tps, pps, eps):
        adp, rest = divmod(world_size, tp * pp * given.cp)
        etp = (tp if tied else given.etp) if model.moe else 1
        degrees = Degrees(tp, given.cp, pp, given.vpp, ep, etp, adp, model.moe)
        if not rest and adp and degrees.factors:
            found.append((_distance(given, degrees), degrees.name, degrees))
    return [degrees for _, _, degrees in sorted(found, key=lambda item: item[:2])[:count]]


def _distance(one: Degrees, other: Degrees) -> float:
    pairs = [(one.tp, other.tp), (one.pp, other.pp), (one.ep, other.ep), (one.adp / one.ep, other.adp / other.ep)]
    return round(sum(abs(math.log2(a / b)) for a, b in pairs), 6)


def _divisors(number: int) -> list[int]:
    small = [i for i in range(1, math.isqrt(number) + 1) if number % i == 0]
    return sorted({*small, *(number // i for i in small)})


@declared
def instance_nodes(config: Config) -> Iterator[Check]:
    """An instance fills whole nodes, or an equal part of one."""
    ranks, gpus_ = config.degrees.world_size, config.hardware.node.gpus
    if config.framework.instances > 1:
        yield check(
            "instance-nodes",
            ranks % gpus_ == 0 or gpus_ % ranks == 0,
            f"{ranks} ranks",
            f"{gpus_} GPUs a node",
            f"an instance of {ranks} ranks on nodes of {gpus_} GPUs takes {ranks / gpus_:g} nodes",
            f"choose degrees whose ranks are a multiple or a divisor of {gpus_}",
        )


@declared
def expert_grid(config: Config) -> Iterator[Check]:
    """The expert grid covers the ranks of the attention grid: etp*ep*edp = tp*cp*adp."""
    degrees = config.degrees
    stage, block = degrees.tp * degrees.cp * degrees.adp, degrees.etp * degrees.ep
    yield check(
        "expert-grid",
        degrees.factors,
        f"{stage} / {block}",
        "a whole number",
        f"a stage of tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} = {stage} ranks holds "
        f"{stage / block:g} expert blocks of etp{degrees.etp} x ep{degrees.ep} = {block} ranks",
        f"make tp*cp*adp a multiple of {block}, as with parallel.dp=null parallel.adp={_fitting_adp(degrees)}, or lower ep or etp",
    )


def _fitting_adp(degrees: Degrees) -> int:
    step = degrees.etp * degrees.ep // math.gcd(degrees.etp * degrees.ep, degrees.tp * degrees.cp)
    return -(-degrees.adp // step) * step
