"""What is particular to a cluster for every scheduler: names of resources and devices, capabilities, mounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, between, choice, numbers, quantity, text
from compiler.specs.limits import ARGUMENT, BYTES, DEVICES, INT32


@dataclass(frozen=True)
class SlurmSite:
    """What differs between Slurm installations.

    `placement` asks for few leaves (`switches`, waiting up to `switch_wait`) or for whole blocks (`segment`).
    `topology_command` reads host names, a line each, and prints `host pod/leaf` for each.
    `container` is what runs `launch.image`, with `container_options` of its own; `python` runs our programs outside of it.
    `pass_environment` names variables of the login environment that ranks may see; `directives` adds, changes or (null)
    removes lines of the batch script; `health_command` succeeds on a node that is fit to use.
    """

    gpu_request: str = choice(("gpus-per-node", "gres", "none"), "gpus-per-node")
    gres_name: str = text("gpu", shortest=1)
    exclusive: bool = True
    all_memory: bool = True
    cpus_per_gpu: Optional[int] = between(1, 4096, None)
    placement: str = choice(("none", "switches", "segment"), "none")
    switch_wait: str = "12:00:00"
    topology_command: Optional[list[str]] = text(None, longest=ARGUMENT)
    container: str = choice(("none", "pyxis", "apptainer"), "none")
    container_options: list[str] = field(default_factory=list)
    python: Optional[str] = None
    pass_environment: list[str] = field(default_factory=list)
    directives: dict[str, Any] = field(default_factory=dict)
    health_command: Optional[list[str]] = text(None, longest=ARGUMENT)


@dataclass(frozen=True)
class TopologyKeys:
    """Node labels whose value is the NVLink domain, the leaf or the pod that a node hangs in; None where there is none."""

    domain: Optional[str] = None
    leaf: Optional[str] = None
    pod: Optional[str] = None


@dataclass(frozen=True)
class KubernetesSite:
    """What differs between Kubernetes clusters; memory in bytes.

    `rdma_per_node` and `hugepages_bytes` (of 2 MiB pages) are for all GPUs of a node: a pod with half of them asks for
    half. `compute_domain` asks NVIDIA's driver for one domain of multi-node NVLink for each instance.
    """

    gpu_resource: str = text("nvidia.com/gpu", shortest=1)
    rdma_resource: Optional[str] = None
    rdma_per_node: int = between(1, DEVICES, 1)
    cpus_per_gpu: Optional[int] = between(1, 4096, None)
    memory_per_gpu_bytes: Optional[int] = quantity("bytes", (1, BYTES), (1e8, 1e13), None)
    hugepages_bytes: Optional[int] = quantity("bytes", (1, BYTES), (2**21, 1e13), None)
    shm_bytes: int = quantity("bytes", (1, BYTES), (2**20, 1e13), 64 * 2**30)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    topology: TopologyKeys = field(default_factory=TopologyKeys)
    pod_annotations: dict[str, str] = field(default_factory=dict)
    host_network: bool = False
    compute_domain: bool = False
    capabilities: list[str] = field(default_factory=list)
    run_as_user: Optional[int] = between(0, INT32, None)
    run_as_group: Optional[int] = between(0, INT32, None)
    fs_group: Optional[int] = between(0, INT32, None)
    read_only_root: bool = False
    seccomp: str = choice(("RuntimeDefault", "Unconfined"), "RuntimeDefault")


@dataclass(frozen=True)
class Site:
    """A site's names. `environment` is merged below `launch.environment`.

    `nics` are the network devices of a node that belong to the fabric, in the order of the GPUs that they are nearest to;
    `numa` is the NUMA node of each GPU; `interface` is the network interface for sockets. All empty where not known.
    """

    name: str = MISSING
    environment: dict[str, Any] = text(dict, longest=ARGUMENT)
    mounts: list[Any] = field(default_factory=list)
    nics: list[str] = field(default_factory=list)
    numa: list[int] = numbers(0, 4095, DEVICES)
    interface: Optional[str] = None
    slurm: SlurmSite = field(default_factory=SlurmSite)
    kubernetes: KubernetesSite = field(default_factory=KubernetesSite)
