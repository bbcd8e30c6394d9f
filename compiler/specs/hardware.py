"""The cluster: GPUs, nodes, links and fabric. SI units: bytes, seconds, FLOP/s, bytes/s per direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, between, choice, fraction, quantity, text
from compiler.specs.limits import BYTES, CONTENT, DEVICES, NODES, RANKS, RATE, SECONDS

FABRICS = ("rail_optimized", "fat_tree", "flat")


def _flops() -> Any:
    return quantity("FLOP/s", (1e-3, RATE), (1e12, 1e17), None)


def _latency() -> Any:
    return quantity("s", (1e-12, SECONDS), (5e-8, 2e-4))


@dataclass(frozen=True)
class PeakFlops:
    """Dense peak of one GPU by precision, FLOP/s; None where the GPU has no such unit."""

    fp32: Optional[float] = _flops()
    tf32: Optional[float] = _flops()
    bf16: Optional[float] = _flops()
    fp16: Optional[float] = _flops()
    fp8: Optional[float] = _flops()
    fp4: Optional[float] = _flops()


@dataclass(frozen=True)
class Gpu:
    """One GPU. The efficiencies are the fractions of peak that large kernels reach."""

    name: str = MISSING
    memory_bytes: float = quantity("bytes", (1e6, BYTES), (2e9, 2e12))
    memory_bandwidth: float = quantity("bytes/s", (1e-3, RATE), (1e11, 1e14))
    memory_efficiency: float = fraction(0.8)
    peak_flops: PeakFlops = field(default_factory=PeakFlops)
    compute_efficiency: float = fraction(0.6)


@dataclass(frozen=True)
class Node:
    """One host."""

    gpus: int = between(1, DEVICES)


@dataclass(frozen=True)
class Nvlink:
    """The scale-up network; `domain_gpus` 1 where GPUs of a node have none. In a `mesh` each two GPUs share a link of their own
    instead of a switch, and `bandwidth` is that of all links of a GPU.
    """

    domain_gpus: int = between(1, RANKS)
    bandwidth: float = quantity("bytes/s", (1e-3, RATE), (5e9, 1e13))
    latency: float = _latency()
    mesh: bool = False


@dataclass(frozen=True)
class Nic:
    """The network cards of one node; `bandwidth` is one card's, per direction."""

    per_node: int = between(1, DEVICES)
    bandwidth: float = quantity("bytes/s", (1e-3, RATE), (1e8, 2.1e11))
    latency: float = _latency()


@dataclass(frozen=True)
class Fabric:
    """How nodes are joined. On a rail-optimised fabric a "leaf" is the set of rails that serve one scalable unit."""

    kind: str = choice(FABRICS)
    nodes_per_leaf: Optional[int] = between(1, NODES, None)
    leaves_per_pod: Optional[int] = between(1, NODES, None)
    oversubscription: float = between(1, 1000, 1.0)


@dataclass(frozen=True)
class Within:
    """Nodes that two pools have together: how many (None: a plan has its nodes to itself), the first of this one's, and how many
    GPUs of that one, from its first on, are the other's.
    """

    nodes: Optional[int] = between(1, NODES, None)
    first: int = between(0, NODES, 0)
    taken_gpus: int = between(0, DEVICES, 0)


@dataclass(frozen=True)
class Hardware:
    """A cluster as a job sees it. `nodes` leaves spares out and may be fewer than the cluster has.

    `inventory` is the path of a CSV of hosts (or of what Slurm, Kubernetes or topograph say of them), or (with a line break in it)
    its text; None for a nominal topology. `hosts` names the host of each slot, as a host list of Slurm's (node[001-016],node129), None for the order of the inventory: a plan that
    was repaired has them. `calibration` names measured curves, a file of
    `conf/calibration`, or is the path of such a file (ending in .yaml); None for the roofline.
    """

    name: str = MISSING
    nodes: int = between(1, NODES)
    node: Node = field(default_factory=Node)
    gpu: Gpu = field(default_factory=Gpu)
    nvlink: Nvlink = field(default_factory=Nvlink)
    nic: Nic = field(default_factory=Nic)
    fabric: Fabric = field(default_factory=Fabric)
    inventory: Optional[str] = text(None, longest=CONTENT)
    hosts: Optional[str] = text(None, longest=CONTENT)
    pin: Optional[bool] = None
    calibration: Optional[str] = text(None, longest=CONTENT)
    within: Within = field(default_factory=Within)
    assumed: list[str] = field(default_factory=list)

    @property
    def gpus(self) -> int:
        return self.nodes * self.node.gpus
