"""What is particular to a cluster for every scheduler: names of resources and devices, capabilities, mounts."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice, numbers, quantity, text
from compiler.specs.limits import ARGUMENT, BYTES, DEVICES, INT32


@dataclass(frozen=True)
class SlurmSite:
    """What differs between Slurm installations."""

    gpu_request: str = choice(("gpus-per-node", "gres", "none"), "gpus-per-node")
    """How GPUs are asked for."""
    gres_name: str = text("gpu", shortest=1)
    """What the site calls them in `--gres`."""
    exclusive: bool = True
    """Whether nodes are asked for whole."""
    all_memory: bool = True
    """Whether all memory of a node is asked for."""
    cpus_per_gpu: Optional[int] = between(1, 4096, None)
    """CPUs asked for with each GPU; null leaves it to the site."""
    placement: str = choice(("none", "switches", "segment"), "none")
    """Few leaves (`switches`), or whole blocks (`segment`)."""
    switch_wait: str = "12:00:00"
    """How long the job waits for few leaves."""
    topology_command: Optional[list[str]] = text(None, longest=ARGUMENT)
    """A command that reads host names, a line each, and prints `host pod/leaf` for each."""
    container: str = choice(("none", "pyxis", "apptainer"), "none")
    """What runs `launch.image`."""
    container_options: list[str] = field(default_factory=list)
    """Options of its own."""
    python: Optional[str] = None
    """The interpreter of our programs outside of the container."""
    pass_environment: list[str] = field(default_factory=list)
    """Variables of the login environment that ranks may see."""
    directives: dict[str, Any] = field(default_factory=dict)
    """Lines of the batch script to add, to change, or (null) to leave out."""
    health_command: Optional[list[str]] = text(None, longest=ARGUMENT)
    """Succeeds on a node that is fit to use."""


@dataclass(frozen=True)
class TopologyKeys:
    """Node labels of Kubernetes; null where there is none."""

    domain: Optional[str] = None
    """Label of the NVLink domain."""
    leaf: Optional[str] = None
    """Label of the leaf."""
    pod: Optional[str] = None
    """Label of the pod."""


@dataclass(frozen=True)
class KubernetesSite:
    """What differs between Kubernetes clusters."""

    gpu_resource: str = text("nvidia.com/gpu", shortest=1)
    """The resource that a GPU is."""
    rdma_resource: Optional[str] = None
    """The resource of the RDMA device plugin; null where there is none."""
    rdma_per_node: int = between(1, DEVICES, 1)
    """How many of it a whole node has; a pod with half of the GPUs asks for half."""
    cpus_per_gpu: Optional[int] = between(1, 4096, None)
    """CPUs asked for with each GPU."""
    memory_per_gpu_bytes: Optional[int] = quantity("bytes", (1, BYTES), (1e8, 1e13), None)
    """Memory asked for with each GPU."""
    hugepages_bytes: Optional[int] = quantity("bytes", (1, BYTES), (2**21, 1e13), None)
    """Pages of 2 MiB for all GPUs of a node."""
    shm_bytes: int = quantity("bytes", (1, BYTES), (2**20, 1e13), 64 * 2**30)
    """Size of /dev/shm."""
    node_selector: dict[str, str] = field(default_factory=dict)
    """Labels of nodes that pods may run on."""
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    """Taints that pods tolerate."""
    topology: TopologyKeys = field(default_factory=TopologyKeys)
    """Node labels whose value is the NVLink domain, the leaf or the pod of a node; null where there is none."""
    pod_annotations: dict[str, str] = field(default_factory=dict)
    """Annotations of every pod."""
    host_network: bool = False
    """Whether pods have the node's network."""
    compute_domain: bool = False
    """Ask NVIDIA's driver for one domain of multi-node NVLink for each instance."""
    capabilities: list[str] = field(default_factory=list)
    """Capabilities of the container."""
    run_as_user: Optional[int] = between(0, INT32, None)
    """User of the container."""
    run_as_group: Optional[int] = between(0, INT32, None)
    """Group of the container."""
    fs_group: Optional[int] = between(0, INT32, None)
    """Group that volumes belong to."""
    read_only_root: bool = False
    """Whether the container's own file system is read-only."""
    seccomp: str = choice(("RuntimeDefault", "Unconfined"), "RuntimeDefault")
    """Its seccomp profile."""


@dataclass(frozen=True)
class Site:
    """A site's names; empty where they are not known."""

    name: str = MISSING
    """A name for the site."""
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    """Variables of every rank, below `launch.environment`."""
    mounts: list[Any] = field(default_factory=list)
    """As `launch.mounts`, before them."""
    nics: list[str] = field(default_factory=list)
    """Network devices of a node that belong to the fabric, in the order of the GPUs that they are nearest to."""
    numa: list[int] = numbers(0, 4095, DEVICES)
    """The NUMA node of each GPU."""
    interface: Optional[str] = None
    """The network interface for sockets."""
    slurm: SlurmSite = field(default_factory=SlurmSite)
    """What differs between Slurm installations."""
    kubernetes: KubernetesSite = field(default_factory=KubernetesSite)
    """What differs between Kubernetes clusters."""
