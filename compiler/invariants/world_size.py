"""Ranks against GPUs, and the degrees that would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

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
    nodes, rest = divmod(config.ranks, config.hardware.node.gpus)
    larger = f"write hardware.nodes={nodes}, or " if 0 < nodes <= NODES and not rest else "write "
    return f"{larger}degrees and instances that fill {config.hardware.gpus} GPUs"


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
        f"write parallel.dp=null parallel.adp={_fitting_adp(degrees)}, which makes it a multiple of {block}, or a smaller ep or etp",
    )


def _fitting_adp(degrees: Degrees) -> int:
    step = degrees.etp * degrees.ep // math.gcd(degrees.etp * degrees.ep, degrees.tp * degrees.cp)
    return -(-degrees.adp // step) * step
