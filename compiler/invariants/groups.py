"""Groups partition the ranks, the grids agree, and groups sit on the links that they need."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compiler.checks import Check, Status, check
from compiler.cluster.spans import SPANS, distinct, most_shared
from compiler.invariants.registry import laid_out
from compiler.specs.degrees import DEFAULT_ORDER
from compiler.world import World


@laid_out("partitions")
def partitions(world: World) -> Iterator[Check]:
    """In every kind, each rank is in exactly one group; a framework's own kind may leave ranks out."""
    bad, partial = [], []
    for kind, table in world.groups.items():
        counts = np.bincount(table.ravel(), minlength=world.size)
        if len(counts) != world.size or counts.max() > 1 or (counts.min() == 0 and "." not in kind):
            bad.append(kind)
        elif counts.min() == 0:
            partial.append(kind)
    kinds = ", ".join(kind for kind in world.groups if kind not in partial)
    rest = f"; {', '.join(partial)}: in at most one" if partial else ""
    yield check(
        holds=not bad,
        observed=", ".join(bad) or "exact",
        limit="exact",
        message=f"kinds {kinds}: every rank in exactly one group{rest}"
        if not bad
        else f"kinds {', '.join(bad)} do not partition {world.size} ranks",
        fix="choose an order of axes that the degrees allow",
    )


@laid_out("grids-agree")
def shared_pipeline(world: World) -> Iterator[Check]:
    """The two grids hold the same pipeline groups; without experts there is one grid."""
    attention, expert = world.attention.strides("pp"), world.expert.strides("pp")
    degrees = world.degrees
    yield check(
        holds=attention == expert or not world.config.model.moe,
        observed=f"strides {[stride for _, stride in attention]} and {[stride for _, stride in expert]}",
        limit="equal",
        message=f"a pipeline stage is {_reach(attention)} apart on the attention grid and {_reach(expert)} on the expert grid",
        fix=f"write parallel.order={DEFAULT_ORDER}, or make tp*cp = etp*ep (now {degrees.tp * degrees.cp} and {degrees.etp * degrees.ep})",
    )


def _reach(strides: tuple[tuple[int, int], ...]) -> str:
    return " and ".join(f"{stride} ranks" for _, stride in strides) or "0 ranks"


@laid_out()
def tensor_parallel_span(world: World) -> Iterator[Check]:
    """Tensor parallelism talks in every layer, so its groups belong inside one NVLink domain."""
    kinds = ("tp", "etp") if world.config.model.moe else ("tp",)
    domain = world.config.hardware.nvlink.domain_gpus
    for kind in kinds:
        outside = int((world.spans(kind) > SPANS.index("nvlink")).sum())
        total, size = len(world.groups[kind]), world.groups.size(kind)
        yield check(
            f"{kind}-in-nvlink",
            holds=outside == 0,
            observed=f"{outside} outside",
            limit="0",
            message=f"{total - outside} of {total} {kind} groups of {size} ranks are inside an NVLink domain of {domain} GPUs",
            fix=f"write {kind} as a divisor of {domain}",
            otherwise=Status.WARN,
        )


@laid_out("ep-in-nvlink")
def expert_parallel_domains(world: World) -> Iterator[Check]:
    """Where NVLink joins several nodes, tokens are dispatched by kernels for one domain (DeepEP, HybridEP): an EP group beyond it is
    not only slower. Reported runs hang there (NVIDIA-NeMo/RL#2986, a watchdog after 600 s; Automodel#3914), and are right again
    with the same groups within a domain.
    """
    nvlink, gpus = world.config.hardware.nvlink, world.slots.gpus
    if not world.config.model.moe or world.degrees.ep == 1 or nvlink.domain_gpus <= gpus:
        return
    outside, total = int((world.spans("ep") > SPANS.index("nvlink")).sum()), len(world.groups["ep"])
    needed, domain = world.degrees.ep * world.degrees.etp, nvlink.domain_gpus
    instead = "write a smaller ep" if needed > domain else "write placement=best"
    whole = domain // needed * needed if needed <= domain else domain
    if whole != domain:
        instead += f", or hardware.nvlink.domain_gpus={whole} where jobs get {whole // gpus} nodes of a rack (scheduler.slurm.segment={whole // gpus})"
    yield check(
        holds=outside == 0,
        observed=f"{outside} of {total} groups outside",
        limit="0",
        message=f"{outside} of {total} ep groups of {world.degrees.ep} ranks cross NVLink domains of {domain} GPUs: that is a question of"
        " correctness, kernels that dispatch within a domain have hung or failed there"
        if outside
        else f"{total} ep groups of {world.degrees.ep} ranks are each inside an NVLink domain of {domain} GPUs",
        fix=instead,
        otherwise=Status.WARN,
    )


@laid_out("ep-span")
def expert_parallel_span(world: World) -> Iterator[Check]:
    """Expert all-to-all is the heaviest traffic: say how far its groups reach and how many share a node and a rail."""
    if not world.config.model.moe or world.degrees.ep == 1:
        return
    table = world.groups["ep"]
    slot = world.slots.slot(table)
    nodes, leaves = distinct(slot), distinct(world.slots.leaf[slot])
    nics = world.config.hardware.nic.per_node
    rail = world.slots.gpu(table) * nics // max(world.slots.gpus, 1)
    a_node, a_rail = most_shared(slot), most_shared(slot * nics + rail)
    reach = f"{int(nodes.max())} nodes and {int(leaves.max())} leaves"
    shared = f"{a_node} groups share a node and {a_rail} a rail"
    one = int(nodes.max()) == 1
    yield check(
        holds=int(leaves.max()) == 1 and (one or a_rail == 1),
        observed=f"{int(leaves.max())} leaves, {a_rail} groups a rail",
        limit="1 leaf, 1 group a rail",
        message=f"an EP group of {table.shape[1]} ranks spans {reach}; {shared}",
        fix="write a smaller ep or etp, or put ep before dp in parallel.order",
        otherwise=Status.WARN,
    )
