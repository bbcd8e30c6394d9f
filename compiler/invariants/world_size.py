"""Ranks against GPUs, and the degrees that would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from compiler.checks import Check, check, failed, warned
from compiler.cluster.share import nodes, share
from compiler.invariants.registry import declared
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees
from compiler.specs.hardware import Hardware, Within
from compiler.specs.limits import NODES, RANKS


@declared()
def gpus(config: Config) -> Iterator[Check]:
    """Training has a rank on every GPU of the cluster, and a server on every node; no plan has more ranks than can be counted."""
    degrees, hardware, instances = config.degrees, config.hardware, config.framework.instances
    ranks = config.ranks
    times = f" x {instances} instances" * (instances > 1)
    product_ = f"tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} x pp{degrees.pp}{times} = {ranks} ranks"
    size = f"{hardware.nodes} nodes x {hardware.node.gpus} GPUs = {hardware.gpus}"
    if ranks > RANKS:
        fix = f"write degrees and instances whose product is at most {RANKS}"
        yield failed(
            "world-size", observed=ranks, limit=RANKS, message=f"{product_}; a plan has at most {RANKS}", fix=fix
        )
        return
    fits = ranks == hardware.gpus if config.workload.train else nodes(config) == hardware.nodes
    yield check(
        "world-size",
        holds=fits,
        observed=ranks,
        limit=hardware.gpus,
        message=f"{product_}{_apart(config)}; the cluster has {size}",
        fix=_fix(config),
    )
    if fits and hardware.within == Within():
        yield from idle(ranks, hardware)


def _apart(config: Config) -> str:
    """Why ranks that the cluster has GPUs for do not fit: an instance has its share of each of its nodes, and none of another's."""
    own, taken = share(config), nodes(config)
    if config.workload.train or config.ranks > config.hardware.gpus or taken <= config.hardware.nodes:
        return ""
    used = own.ranks * (own.seats if own.nodes == 1 else 1)
    return f" on {taken} nodes, at most {used} of {own.gpus} GPUs on each"


def idle(ranks: int, hardware: Hardware) -> Iterator[Check]:
    """GPUs that servers leave to nobody."""
    left = hardware.gpus - ranks
    if left > 0:
        yield warned(
            "idle-gpus",
            observed=f"{left} idle",
            limit="0",
            message=f"{ranks} ranks on {hardware.nodes} nodes x {hardware.node.gpus} GPUs leave {left} GPUs idle",
            fix=f"write degrees and instances that fill {hardware.gpus} GPUs",
        )


def _fix(config: Config) -> str:
    count, rest = nodes(config), config.ranks % config.hardware.node.gpus
    possible = 0 < count <= NODES and not (rest and config.workload.train)
    larger = f"write hardware.nodes={count}, or " if possible else "write "
    return f"{larger}degrees and instances that fill {config.hardware.gpus} GPUs"


@declared("instance-nodes")
def instance_nodes(config: Config) -> Iterator[Check]:
    """An instance has the same number of GPUs of each of its nodes."""
    ranks, own = config.degrees.world_size, share(config)
    if config.framework.instances > 1 or own.size != ranks:
        yield check(
            holds=own.size == ranks,
            observed=f"{ranks} % {own.nodes} = {ranks % own.nodes}",
            limit="0",
            message=f"an instance of {ranks} ranks on nodes of {own.gpus} GPUs takes {ranks / own.gpus:g} nodes",
            fix=f"choose degrees whose ranks are a multiple or a divisor of {own.gpus}",
        )


@declared("shared-nodes")
def shared_nodes(config: Config) -> Iterator[Check]:
    """What another pool leaves of a node has room for an instance, and the nodes are among those that both have."""
    within, own, count = config.hardware.within, share(config), config.hardware.nodes
    if within != Within():
        beside = not within.taken_gpus or own.behind(within.taken_gpus) is not None
        yield check(
            holds=beside and within.first + count <= (within.nodes or within.first + count),
            observed=f"{within.taken_gpus} GPUs taken, nodes {within.first} to {within.first + count - 1}",
            limit=f"{own.gpus - own.ranks} GPUs, {within.nodes} nodes",
            message=f"an instance has {own.ranks} GPUs on each of {own.nodes} nodes, {within.taken_gpus} of {own.gpus} on the first are "
            f"another pool's, and {count} nodes from node {within.first} on are to be among {within.nodes or 'any'}",
            fix="leave hardware.within out: workload.pools says where pools share a node",
        )


@declared("expert-grid")
def expert_grid(config: Config) -> Iterator[Check]:
    """The expert grid covers the ranks of the attention grid: etp*ep*edp = tp*cp*adp."""
    degrees = config.degrees
    stage, block = degrees.tp * degrees.cp * degrees.adp, degrees.etp * degrees.ep
    yield check(
        holds=degrees.factors,
        observed=f"{stage} / {block}",
        limit="a whole number",
        message=f"a stage of tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} = {stage} ranks holds "
        f"{stage / block:g} expert blocks of etp{degrees.etp} x ep{degrees.ep} = {block} ranks",
        fix=f"write parallel.dp=null parallel.adp={_fitting_adp(degrees)}, which makes it a multiple of {block}, or a smaller ep or etp",
    )


def _fitting_adp(degrees: Degrees) -> int:
    step = degrees.etp * degrees.ep // math.gcd(degrees.etp * degrees.ep, degrees.tp * degrees.cp)
    return -(-degrees.adp // step) * step
