"""What is particular to a cluster for every scheduler: names of resources and devices, capabilities, mounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, at_least, choice


@dataclass(frozen=True)
class SlurmSite:
    """What differs between Slurm installations."""

    gpu_request: str = choice(("gpus-per-node", "gres", "none"), "gpus-per-node")
    gres_name: str = "gpu"
    exclusive: bool = True
    all_memory: bool = True
    cpus_per_gpu: Optional[int] = at_least(1, None)


@dataclass(frozen=True)
class KubernetesSite:
    """What differs between Kubernetes clusters; memory in bytes."""

    gpu_resource: str = "nvidia.com/gpu"
    rdma_resource: Optional[str] = None
    rdma_per_node: int = at_least(1, 1)
    shm_bytes: int = at_least(1, 64 * 2**30)
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """A site's names. `environment` is merged below `launch.environment`: NCCL device names and the like."""

    name: str = MISSING
    environment: dict[str, Any] = field(default_factory=dict)
    mounts: list[Any] = field(default_factory=list)
    slurm: SlurmSite = field(default_factory=SlurmSite)
    kubernetes: KubernetesSite = field(default_factory=KubernetesSite)
