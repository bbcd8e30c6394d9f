"""The cluster: GPUs, nodes, links and fabric. SI units: bytes, seconds, FLOP/s, bytes/s per direction."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice, fraction, quantity, text
from compiler.specs.limits import BYTES, CONTENT, DEVICES, NODES, RANKS, RATE, SECONDS

FABRICS = ("rail_optimized", "fat_tree", "flat")


def _flops() -> Any:
    return quantity("FLOP/s", (1e-3, RATE), (1e12, 1e17), None)


def _latency() -> Any:
    return quantity("s", (1e-12, SECONDS), (5e-8, 2e-4))


@dataclass(frozen=True)
class PeakFlops:
    """Dense peaks of one GPU."""

    fp32: Optional[float] = _flops()
    """In FP32, dense; null where the GPU has no such unit."""
    tf32: Optional[float] = _flops()
    """In TF32, dense; null where the GPU has no such unit."""
    bf16: Optional[float] = _flops()
    """In BF16, dense; null where the GPU has no such unit."""
    fp16: Optional[float] = _flops()
    """In FP16, dense; null where the GPU has no such unit."""
    fp8: Optional[float] = _flops()
    """In FP8, dense; null where the GPU has no such unit."""
    fp4: Optional[float] = _flops()
    """In FP4, dense; null where the GPU has no such unit."""


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str = MISSING
    """What the vendor calls it; measured curves and constants go by it."""
    memory_bytes: float = quantity("bytes", (1e6, BYTES), (2e9, 2e12))
    """Memory of one GPU."""
    memory_bandwidth: float = quantity("bytes/s", (1e-3, RATE), (1e11, 1e14))
    """Peak of its memory."""
    memory_efficiency: float = fraction(0.8)
    """Part of the peak that large reads reach."""
    peak_flops: PeakFlops = field(default_factory=PeakFlops)
    """Dense peak of one GPU by precision."""
    compute_efficiency: float = fraction(0.6)
    """Part of the peak that large products reach."""


@dataclass(frozen=True)
class Node:
    """One host."""

    gpus: int = between(1, DEVICES)
    """GPUs of a host."""


@dataclass(frozen=True)
class Nvlink:
    """The scale-up network."""

    domain_gpus: int = between(1, RANKS)
    """GPUs that the scale-up network joins; 1 where GPUs of a node have none."""
    bandwidth: float = quantity("bytes/s", (1e-3, RATE), (5e9, 1e13))
    """Of a GPU into the domain, per direction."""
    latency: float = _latency()
    """Of one message."""
    mesh: bool = False
    """Each two GPUs share a link of their own instead of a switch, and `bandwidth` is that of all links of a GPU."""


@dataclass(frozen=True)
class Nic:
    """The network cards of one node."""

    per_node: int = between(1, DEVICES)
    """Network cards of a node."""
    bandwidth: float = quantity("bytes/s", (1e-3, RATE), (1e8, 2.1e11))
    """Of one card, per direction."""
    latency: float = _latency()
    """Of one message."""


@dataclass(frozen=True)
class Fabric:
    """How nodes are joined."""

    kind: str = choice(FABRICS)
    """How nodes are joined. On a rail-optimised fabric a leaf is the set of rails that serve one scalable unit."""
    nodes_per_leaf: Optional[int] = between(1, NODES, None)
    """Nodes of a leaf; null where nothing is known of leaves."""
    leaves_per_pod: Optional[int] = between(1, NODES, None)
    """Leaves of a pod; null where nothing is known of pods."""
    oversubscription: float = between(1, 1000, 1.0)
    """Bandwidth into a leaf over that out of it."""


@dataclass(frozen=True)
class Within:
    """The nodes that two pools share."""

    nodes: Optional[int] = between(1, NODES, None)
    """Nodes that two pools have together; null where a plan has its nodes to itself."""
    first: int = between(0, NODES, 0)
    """The first of this pool's among them."""
    taken_gpus: int = between(0, DEVICES, 0)
    """GPUs of that node, from its first on, that are the other pool's."""


@dataclass(frozen=True)
class Hardware:
    """A cluster as a job sees it."""

    name: str = MISSING
    """A name for the cluster."""
    nodes: int = between(1, NODES)
    """Nodes of the job, spares left out; may be fewer than the cluster has. With an inventory: its hosts less the spares."""
    node: Node = field(default_factory=Node)
    """One host."""
    gpu: Gpu = field(default_factory=Gpu)
    """One GPU."""
    nvlink: Nvlink = field(default_factory=Nvlink)
    """The scale-up network."""
    nic: Nic = field(default_factory=Nic)
    """Network cards of a node."""
    fabric: Fabric = field(default_factory=Fabric)
    """How nodes are joined."""
    inventory: Optional[str] = text(None, longest=CONTENT)
    """The path of a table of hosts, or of what Slurm, Kubernetes or topograph say of them (or, with a line break in it, its text); null for a nominal topology."""
    hosts: Optional[str] = text(None, longest=CONTENT)
    """The host of each slot, as a host list of Slurm's (node[001-016],node129); null for the order of the inventory. A repaired plan has them."""
    pin: Optional[bool] = None
    """Whether the plan names the host of every rank and its job requires them; true where it is null and an inventory has exactly the nodes and spares."""
    calibration: Optional[str] = text(None, longest=CONTENT)
    """Measured curves by the name of a file of `conf/calibration`, or by the path of such a file (ending in .yaml); null for assumed ones, a roofline over the rates above."""
    within: Within = field(default_factory=Within)
    """Nodes that two pools share: what `workload.pools` sets."""
    assumed: list[str] = field(default_factory=list)
    """Keys that no source gives."""

    @property
    def gpus(self) -> int:
        return self.nodes * self.node.gpus
