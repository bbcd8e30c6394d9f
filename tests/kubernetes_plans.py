"""Ten plans for Kubernetes, from one GPU to 16,384, with every option and site feature in one of them at least."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from compiler.checks import Check
from compiler.schedulers import registry
from compiler.specs.hardware import Fabric
from compiler.specs.site import KubernetesSite, Site, TopologyKeys
from tests.plans import HOSTILE, SmallPlan, SmallPools, plan, pools

HOSTS = "host,leaf,pod,rack\nn1,l,p,r\nn2,l,p,r\nn3,l,p,r\n"
VALUES = {
    **HOSTILE,
    **{f"YAML_{index}": value for index, value in enumerate(["no", "1e3", "0123", "null", "~", "*a", "&a", "%a", "!!str", "@", "`", "2001-01-01", "0x1F", "1_000", ".inf", "=", "<<", "-", "? a", ": b", "# c"])},
}  # fmt: skip
"""Values that quoting gets wrong somewhere, YAML's own among them."""
KEYS = TopologyKeys(domain="nvidia.com/gpu.clique", leaf="example.com/leaf", pod="example.com/pod")
RDMA = Site(
    name="full",
    environment={"NCCL_IB_HCA": "=mlx5_0,mlx5_1"},
    mounts=["/data:/data:ro"],
    kubernetes=KubernetesSite(
        rdma_resource="rdma/ib",
        rdma_per_node=8,
        cpus_per_gpu=12,
        memory_per_gpu_bytes=2**37,
        hugepages_bytes=5 * 2**30,
        node_selector={"pool": "true", "cloud.google.com/gke-accelerator": "h100"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        pod_annotations={"networking.gke.io/default-interface": "eth0"},
        host_network=True,
        capabilities=["IPC_LOCK"],
        run_as_user=1000,
        run_as_group=1000,
        fs_group=1000,
        read_only_root=True,
        topology=KEYS,
    ),
)
TOPOLOGY = Site(name="topology", kubernetes=KubernetesSite(topology=KEYS))
RACKS = Site(name="racks", kubernetes=KubernetesSite(topology=KEYS, compute_domain=True))
BARE = Site(name="bare")
LEAVES = Fabric(kind="flat", nodes_per_leaf=4)
PODS = Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=2)
QUEUE = {"queue": "q", "topology": "required"}
OPTIONS = {
    "namespace": "team-a",
    "queue": "gpus",
    "queue_priority": "urgent",
    "priority_class": "high",
    "service_account": "runner",
    "image_pull_secrets": ["registry"],
    "gang": "coscheduling",
    "tier": 2,
    "ttl_s": 3600,
}
"""Each controller takes those that it has."""
_PLANS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "gpu": ((1, 1), {}),
    "node": ((1, 8), {}),
    "two": ((2, 8), {"image": "registry/i:1", "name": "A_very.long-name_" + "x" * 80}),
    "full": (
        (3, 8),
        {
            "site": RDMA,
            "options": OPTIONS,
            "hosts": HOSTS,
            "pin": True,
            "mounts": ["/a b:/c d"],
            "environment": VALUES,
            "command": ["a"],
            "secrets": {"TOKEN": {"secret": "hf", "key": "token"}},
        },
    ),
    "instances": ((4, 2), {"instances": 2, "unit": "node"}),
    "leaves": ((128, 8), {"fabric": Fabric(kind="flat", nodes_per_leaf=16), "site": TOPOLOGY}),
    "uneven": ((130, 8), {"fabric": Fabric(kind="flat", nodes_per_leaf=16), "site": TOPOLOGY}),
    "racks": ((36, 4), {"domain_gpus": 72, "site": RACKS, "options": {"domain_tier": 1}}),
    "queued": (
        (64, 8),
        {
            "fabric": Fabric(kind="flat", nodes_per_leaf=16, leaves_per_pod=8),
            "site": TOPOLOGY,
            "options": {"queue": "gpus", "topology": "required", "domain_tier": 1},
        },
    ),
    "largest": ((2048, 8), {"fabric": Fabric(kind="flat", nodes_per_leaf=32, leaves_per_pod=8), "site": TOPOLOGY}),
}
NAMES = tuple(_PLANS)
_POOLS: dict[str, tuple[tuple[int, int], tuple[int, int], dict[str, Any]]] = {
    "small": ((1, 1), (2, 1), {}),
    "sharing": ((2, 4), (1, 1), {"name": "A_very.long-name_" + "x" * 70}),
    "full": ((2, 2), (4, 1), {**_PLANS["full"][1], "hosts": None, "pin": None}),
    "leaves": ((16, 4), (32, 1), _PLANS["leaves"][1]),
    "one_pod": ((4, 2), (4, 1), {"fabric": Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=8), "site": TOPOLOGY}),
    "racks": ((18, 1), (36, 2), {"gpus": 4, **_PLANS["racks"][1]}),
    "queued": ((16, 2), (32, 1), _PLANS["queued"][1]),
    "large": ((96, 12), (160, 1), _PLANS["largest"][1]),
}
"""(nodes, instances) of prefill and of decode."""
POOLS = tuple(_POOLS)


def kubernetes(target: str, *shape: int, **given: Any) -> SmallPlan:
    """A small plan for one controller, with those of the `options` that it has."""
    return plan(*shape, scheduler=(target,), **_known(target, given))


def kubernetes_pools(target: str, prefill: tuple[int, int], decode: tuple[int, int], **given: Any) -> SmallPools:
    """Pools of (nodes in all, instances) for one controller, likewise."""
    return pools(prefill, decode, scheduler=(target,), **_known(target, given))


def _known(target: str, given: dict[str, Any]) -> dict[str, Any]:
    fields = {item.name for item in dataclasses.fields(registry.target(target).options)}
    options = {name: value for name, value in (given.get("options") or {}).items() if name in fields}
    return {**given, "options": options}


@cache
def made(target: str, name: str) -> SmallPlan:
    shape, given = _PLANS[name]
    return kubernetes(target, *shape, **given)


@cache
def made_pools(target: str, name: str) -> SmallPools:
    prefill, decode, given = _POOLS[name]
    return kubernetes_pools(target, prefill, decode, **given)


def checks(plan: SmallPlan) -> dict[str, Check]:
    """The checks that do not pass, by id."""
    return {item.id: item for item in registry.checks(plan) if item.status != "pass"}
