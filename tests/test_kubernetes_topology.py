"""Controllers and Kueue are asked for the plan's leaves, pods and NVLink domains, and refuse where they cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compiler.schedulers.job import job
from compiler.schedulers.kubernetes import kueue, topology
from compiler.specs.hardware import Fabric
from compiler.specs.site import TopologyKeys
from tests.controllers import documents
from tests.kubelet import the
from tests.kubernetes_plans import BARE, KEYS, LEAVES, PODS, QUEUE, TOPOLOGY, checks, kubernetes
from tests.plans import SmallPlan

PREFIX = "kueue.x-k8s.io/podset-"
LAYERS = json.dumps([{"topology": KEYS.pod, "size": 8}, {"topology": KEYS.leaf, "size": 4}])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": {"topology": "required"}, "site": TOPOLOGY}, "scheduler.jobset.topology=required is Kueue's, which sees only"),
        ({"options": QUEUE, "site": BARE}, "scheduler.jobset.topology=required needs the label of nodes that names their leaf"),
        ({"options": QUEUE, "fabric": Fabric(kind="flat")}, "has nothing to ask for: the plan's network has neither leaves"),
    ],
)  # fmt: skip
def test_preconditions_of_topology_stop_the_compile(given: dict[str, Any], message: str) -> None:
    found = checks(kubernetes("jobset", 8, 2, **{"fabric": LEAVES, **given}))["kueue-topology"]
    assert found.status == "fail"
    assert message in found.message


@pytest.mark.parametrize("target", ["jobset", "lws"])
def test_domains_of_ones_own_must_be_there(target: str) -> None:
    found = checks(kubernetes(target, 8, 2, fabric=LEAVES, options={"exclusive": True}))["exclusive-topology"]
    assert found.status == "fail"
    assert f"scheduler.{target}.exclusive=true needs whole domains" in found.message


def children(plan: SmallPlan) -> dict[str, tuple[int, int]]:
    return {
        child["name"]: (child["replicas"], child["template"]["spec"]["completions"])
        for child in the("JobSet", plan)["spec"]["replicatedJobs"]
    }


def test_a_jobset_has_a_job_for_each_leaf_or_nvlink_domain() -> None:
    assert children(kubernetes("jobset", 8, 2, fabric=LEAVES)) == {"node": (2, 4)}
    assert children(kubernetes("jobset", 10, 2, fabric=LEAVES)) == {"node": (2, 4), "node1": (1, 2)}
    assert children(kubernetes("jobset", 3, 2, fabric=LEAVES)) == {"node": (1, 3)}
    assert children(kubernetes("jobset", 8, 2, fabric=Fabric(kind="flat"))) == {"node": (1, 8)}
    racks = kubernetes("jobset", 12, 4, domain_gpus=12, fabric=LEAVES, site=TOPOLOGY)
    assert children(racks) == {"node": (4, 3)}
    annotations = the("JobSet", racks)["metadata"]["annotations"]
    assert annotations["alpha.jobset.sigs.k8s.io/exclusive-topology"] == KEYS.domain


def test_leaves_of_an_inventory_are_spelt_out_up_to_a_limit() -> None:
    def hosts(leaves: list[int]) -> str:
        rows = [f"h{leaf:03d}{node:03d},l{leaf},p,r" for leaf, count in enumerate(leaves) for node in range(count)]
        return "\n".join(["host,leaf,pod,rack", *rows, ""])

    sizes = [3, 4, 4, 2]
    plan = kubernetes("jobset", 13, 2, hosts=hosts(sizes), site=TOPOLOGY)
    assert list(children(plan).values()) == [(1, 3), (2, 4), (1, 2)]
    many = [1 + leaf % 2 for leaf in range(20)]
    plan = kubernetes("jobset", sum(many), 2, hosts=hosts(many), site=TOPOLOGY)
    assert list(children(plan).values()) == [(1, 30)]
    assert "order-unproven" in checks(plan)


@pytest.mark.parametrize(
    ("nodes", "mode", "expected"),
    [
        (4, "required", {"required-topology": KEYS.leaf}),
        (8, "required", {"required-topology": KEYS.pod, "slice-required-topology": KEYS.leaf, "slice-size": "4"}),
        (16, "required", {"preferred-topology": KEYS.pod, "slice-required-topology-constraints": LAYERS}),
        (12, "required", {"preferred-topology": KEYS.pod, "slice-required-topology": KEYS.leaf, "slice-size": "4"}),
        (6, "required", {"required-topology": KEYS.pod}),
        (4, "preferred", {"preferred-topology": KEYS.leaf}),
        (16, "preferred", {"preferred-topology": KEYS.pod}),
    ],
)
@pytest.mark.parametrize("target", ["kubernetes_job", "trainjob", "jobset"])
def test_kueue_is_asked_for_the_plans_domains(target: str, nodes: int, mode: str, expected: dict[str, str]) -> None:
    options = {"queue": "q", "queue_priority": "urgent", "topology": mode}
    plan = kubernetes(target, nodes, 2, fabric=PODS, site=TOPOLOGY, options=options)
    kind = {"kubernetes_job": "Job", "trainjob": "TrainJob", "jobset": "JobSet"}[target]
    labels = the(kind, plan)["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "q"
    assert labels["kueue.x-k8s.io/priority-class"] == "urgent"
    placed = kueue.placement(job(plan), mode)
    assert placed is not None
    assert placed.annotations() == {PREFIX + name: value for name, value in expected.items()}
    assert json.dumps(placed.annotations())[1:-1] in json.dumps(documents(plan))


def test_leader_and_workers_are_one_group_to_kueue() -> None:
    plan = kubernetes("lws", 8, 2, fabric=PODS, site=TOPOLOGY, options=QUEUE)
    template = the("LeaderWorkerSet", plan)["spec"]["leaderWorkerTemplate"]
    expected = {PREFIX + "required-topology": KEYS.pod, PREFIX + "group-name": "small"}
    for part in ("leaderTemplate", "workerTemplate"):
        assert template[part]["metadata"]["annotations"] == expected


def test_parts_of_a_group_have_leaves_of_their_own() -> None:
    def group(nodes: int) -> tuple[dict[str, str], Any]:
        found = the("LeaderWorkerSet", kubernetes("lws", nodes, 2, fabric=LEAVES, site=TOPOLOGY))
        own = {name: value for name, value in found["metadata"]["annotations"].items() if "exclusive" in name}
        return own, found["spec"]["leaderWorkerTemplate"].get("subGroupPolicy")

    prefix = "leaderworkerset.sigs.k8s.io/"
    assert group(4) == ({prefix + "exclusive-topology": KEYS.leaf}, None)
    assert group(12) == ({prefix + "subgroup-exclusive-topology": KEYS.leaf}, {"subGroupSize": 4})
    assert group(10) == ({}, None)


def test_volcano_keeps_the_parts_of_a_task_in_a_tier() -> None:
    plan = kubernetes("volcano", 12, 2, fabric=LEAVES, options={"domain_tier": 1, "tier": 2})
    spec = the("Job", plan)["spec"]
    hard = {"mode": "hard", "highestTierAllowed": 1}
    assert spec["networkTopology"] == {**hard, "highestTierAllowed": 2}
    assert spec["tasks"][0]["partitionPolicy"] == {
        "totalPartitions": 3,
        "partitionSize": 4,
        "minPartitions": 3,
        "networkTopology": hard,
    }


def test_levels_are_those_of_the_hardware() -> None:
    def found(**given: Any) -> list[str]:
        return [level.name for level in topology.levels(job(kubernetes("jobset", 8, 2, **given)))]

    assert found(fabric=Fabric(kind="flat")) == []
    assert found(fabric=LEAVES) == ["leaf"]
    assert found(fabric=PODS, domain_gpus=4) == ["domain", "leaf", "pod"]
    assert TopologyKeys() == TopologyKeys(None, None, None)
