"""The cluster: GPUs, nodes, links and fabric. SI units: bytes, seconds, FLOP/s, bytes/s per direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from compiler.specs.fields import MISSING, above, at_least, choice, fraction

FABRICS = ("rail_optimized", "fat_tree", "flat")


@dataclass(frozen=True)
class PeakFlops:
    """Dense peak of one GPU by precision, FLOP/s; None where the GPU has no such unit."""

    fp32: Optional[float] = above(0, None)
    tf32: Optional[float] = above(0, None)
    bf16: Optional[float] = above(0, None)
    fp16: Optional[float] = above(0, None)
    fp8: Optional[float] = above(0, None)
    fp4: Optional[float] = above(0, None)


@dataclass(frozen=True)
class Gpu:
    """One GPU. The efficiencies are the fractions of peak that large kernels reach."""

    name: str = MISSING
    memory_bytes: float = above(0)
    memory_bandwidth: float = above(0)
    memory_efficiency: float = fraction(0.8)
    peak_flops: PeakFlops = field(default_factory=PeakFlops)
    compute_efficiency: float = fraction(0.6)


@dataclass(frozen=True)
class Node:
    """One host."""

    gpus: int = at_least(1)


@dataclass(frozen=True)
class Nvlink:
    """The scale-up network; `domain_gpus` 1 where GPUs of a node have none. In a `mesh` each two GPUs share a link of their own
    instead of a switch, and `bandwidth` is that of all links of a GPU.
    """

    domain_gpus: int = at_least(1)
    bandwidth: float = above(0)
    latency: float = above(0)
    mesh: bool = False


@dataclass(frozen=True)
class Nic:
    """The network cards of one node; `bandwidth` is one card's, per direction."""

    per_node: int = at_least(1)
    bandwidth: float = above(0)
    latency: float = above(0)


@dataclass(frozen=True)
class Fabric:
    """How nodes are joined. On a rail-optimised fabric a "leaf" is the set of rails that serve one scalable unit."""

    kind: str = choice(FABRICS)
    nodes_per_leaf: Optional[int] = at_least(1, None)
    leaves_per_pod: Optional[int] = at_least(1, None)
    oversubscription: float = at_least(1, 1.0)


@dataclass(frozen=True)
class Hardware:
    """A cluster as a job sees it. `nodes` leaves spares out and may be fewer than the cluster has.

    `inventory` is the path of a CSV of hosts, or (with a line break in it) its text; None for a nominal topology. `calibration` names measured curves, a file of
    `conf/calibration`, or is the path of such a file (ending in .yaml); None for the roofline.
    """

    name: str = MISSING
    nodes: int = at_least(1)
    node: Node = field(default_factory=Node)
    gpu: Gpu = field(default_factory=Gpu)
    nvlink: Nvlink = field(default_factory=Nvlink)
    nic: Nic = field(default_factory=Nic)
    fabric: Fabric = field(default_factory=Fabric)
    inventory: Optional[str] = None
    pin: Optional[bool] = None
    calibration: Optional[str] = None
    assumed: list[str] = field(default_factory=list)

    @property
    def gpus(self) -> int:
        return self.nodes * self.node.gpus
