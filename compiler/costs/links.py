"""What a kind of group runs over: its size, its span, and the links inside and between its NVLink domains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.spans import SPANS, distinct
from compiler.costs.arrays import Array, array
from compiler.costs.constants import (
    PCIE_BANDWIDTH,
    PCIE_LATENCY_S,
    SCALE_OUT_EFFICIENCY,
    SCALE_UP_EFFICIENCY,
    SWITCH_LATENCY_S,
)
from compiler.specs.hardware import Hardware
from compiler.world import World


@dataclass(frozen=True)
class Reach:
    """The worst group of a kind: `size` ranks in `domains` NVLink domains; span as in SPANS. Arrays for many plans at once,
    the span then that of the groups which leave a domain.
    """

    kind: str
    size: int | NDArray[np.float64]
    span: str
    domains: int | NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """Bytes/s per direction of one GPU, and the seconds of one hop."""

    bandwidth: Array | float
    latency: float


def reach(world: World, kind: str) -> Reach:
    """Expand a kind's groups and find the worst. Ranks that the cluster has no slots for count as the farthest."""
    size = world.groups.size(kind)
    if size <= 1:
        return Reach(kind, 1, SPANS[0], 1)
    table, slots = world.groups[kind], world.slots
    places = slots.count * slots.share.ranks
    if table.size == 0 or table[-1, -1] >= places or world.size > places:
        return Reach(kind, size, SPANS[-1], size)
    found = world.spans(kind)
    worst = int(found.max())
    if worst <= SPANS.index("nvlink"):
        return Reach(kind, size, SPANS[worst], 1)
    farthest = table[found == worst]
    return Reach(kind, size, SPANS[worst], int(distinct(slots.nvlink_domain(farthest)).max()))


def inner(hardware: Hardware, op: str, ranks: Array | int) -> Link:
    """Within an NVLink domain that holds `ranks` of a group. In a mesh they use the links among themselves, and reduce none in
    a switch.
    """
    nvlink = hardware.nvlink
    if not nvlink.mesh:
        return Link(nvlink.bandwidth * SCALE_UP_EFFICIENCY[op], nvlink.latency)
    used = np.maximum(array(ranks) - 1, 1) / max(nvlink.domain_gpus - 1, 1)
    alike = "all_gather" if op == "all_reduce" else op
    return Link(nvlink.bandwidth * used * SCALE_UP_EFFICIENCY[alike], nvlink.latency)


def outer(hardware: Hardware, span: str) -> Link:
    """Between NVLink domains: PCIe within a node, else a GPU's part of its node's network cards.

    Leaving a leaf crosses what may be oversubscribed, and each level adds two switch hops.
    """
    if span == "node":
        return Link(PCIE_BANDWIDTH, PCIE_LATENCY_S)
    nic, above = hardware.nic, max(0, SPANS.index(span) - SPANS.index("leaf"))
    bandwidth = nic.per_node * nic.bandwidth / hardware.node.gpus * SCALE_OUT_EFFICIENCY
    crossed = hardware.fabric.oversubscription if above else 1.0
    return Link(bandwidth / crossed, nic.latency + 2 * above * SWITCH_LATENCY_S)
