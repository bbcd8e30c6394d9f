"""What a kind of group runs over: its size, its span, and the links inside and between its NVLink domains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.spans import SPANS, distinct
from compiler.costs.arrays import Array, array
from compiler.costs.constants import (
    PCIE_BANDWIDTH,
    PCIE_LATENCY_S,
    SCALE_OUT_EFFICIENCY,
    SWITCH_LATENCY_S,
    scale_up_efficiency,
)
from compiler.frozen import dataclass
from compiler.specs.hardware import Hardware
from compiler.world import World


@dataclass(frozen=True)
class Reach:
    """The worst group of a kind: `size` ranks in `domains` NVLink domains; span as in SPANS. Arrays for many plans at once, of which
    `span` holds indices into SPANS.
    """

    kind: str
    size: int | NDArray[np.float64]
    span: str | NDArray[np.int8]
    domains: int | NDArray[np.float64]


def within_copy(whole: Reach, copies: Array) -> Reach:
    """A run of a group's ranks that holds one of `copies` of what the group shards: hybrid sharding, instances of an optimizer."""
    size, domains = (np.maximum(1, np.ceil(array(value) / copies)) for value in (whole.size, whole.domains))
    level = np.where(domains > 1, _level(whole.span), np.minimum(_level(whole.span), SPANS.index("nvlink")))
    return Reach(whole.kind, size, _span(whole.span, level), domains)


def between_copies(whole: Reach, copies: Array) -> Reach:
    """The ranks that hold the same part of each copy."""
    size = np.minimum(array(whole.size), copies)
    return Reach(whole.kind, size, whole.span, np.minimum(array(whole.domains), size))


def _level(span: str | NDArray[np.int8]) -> NDArray[np.int8]:
    return np.asarray(SPANS.index(span) if isinstance(span, str) else span, dtype=np.int8)


def _span(like: str | NDArray[np.int8], level: NDArray[np.int8]) -> str | NDArray[np.int8]:
    """A level in the form of another span."""
    return SPANS[int(level)] if isinstance(like, str) else level


@dataclass(frozen=True)
class Link:
    """Bytes/s per direction of one GPU, and the seconds of one hop."""

    bandwidth: Array | float
    latency: Array | float


def reach(world: World, kind: str) -> Reach:
    """Expand a kind's groups and find the farthest span, and the most domains. Ranks without a slot count as the farthest."""
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
    return Reach(kind, size, SPANS[worst], int(distinct(slots.nvlink_domain(table)).max()))


def inner(hardware: Hardware, op: str, ranks: Array | int) -> Link:
    """Within an NVLink domain that holds `ranks` of a group."""
    nvlink = hardware.nvlink
    return Link(within(hardware, ranks) * scale_up_efficiency(nvlink, op), nvlink.latency)


def within(hardware: Hardware, ranks: Array | int) -> Array | float:
    """Bytes/s of the links that a rank has to `ranks` of its domain: those of a mesh are for a peer each."""
    nvlink = hardware.nvlink
    if not nvlink.mesh:
        return nvlink.bandwidth
    return nvlink.bandwidth * np.maximum(array(ranks) - 1, 1) / max(nvlink.domain_gpus - 1, 1)


def outer(hardware: Hardware, span: str | NDArray[np.int8]) -> Link:
    """Between NVLink domains: PCIe within a node, else a GPU's part of its node's network cards. `span`: a name of SPANS, or
    indices into them.

    Leaving a leaf crosses what may be oversubscribed, and each level adds two switch hops.
    """
    level = _level(span)
    nic, above = hardware.nic, np.maximum(0, level - SPANS.index("leaf"))
    bandwidth = nic.per_node * nic.bandwidth / hardware.node.gpus * SCALE_OUT_EFFICIENCY
    crossed, node = np.where(above, hardware.fabric.oversubscription, 1.0), level == SPANS.index("node")
    latency = nic.latency + 2 * above * SWITCH_LATENCY_S
    return Link(np.where(node, PCIE_BANDWIDTH, bandwidth / crossed), np.where(node, PCIE_LATENCY_S, latency))
