"""What is warned of and refused: order, gangs, topology's preconditions, locked memory. And the shape of topology itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.checks import Check
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes import kueue, topology
from compiler.schedulers.kubernetes.checks import of_job
from compiler.specs.hardware import Fabric
from compiler.specs.site import KubernetesSite, Site, TopologyKeys
from tests.command import call
from tests.controllers import CONTROLLERS, Node, documents
from tests.kubernetes_plans import KEYS, TOPOLOGY, kubernetes
from tests.plans import SmallPlan

LEAVES = Fabric(kind="flat", nodes_per_leaf=4)
PODS = Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=2)
PREFIX = "kueue.x-k8s.io/podset-"


def checks(plan: SmallPlan) -> dict[str, Check]:
    """The checks that do not pass, by id."""
    return {item.id: item for item in registry.checks(plan) if item.status != "pass"}


def proven(target: str, *shape: int, fabric: Fabric = LEAVES, site: Site = TOPOLOGY, **given: Any) -> bool:
    """Whether the order is: a warning where not, never a failure."""
    found = checks(kubernetes(target, *shape, fabric=fabric, site=site, **given)).get("order-unproven")
    assert found is None or (found.status == "warn" and found.fix)
    return found is None


QUEUE = {"queue": "q", "topology": "required"}
BARE = Site(name="bare")


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        *((target, {"site": BARE}, False) for target in CONTROLLERS),
        ("kubernetes_job", {}, False),
        ("kubernetes_job", {"options": QUEUE}, True),
        ("kubernetes_job", {"options": {**QUEUE, "topology": "preferred"}}, False),
        ("jobset", {}, True),
        ("jobset", {"options": {"exclusive": False}}, False),
        ("jobset", {"options": QUEUE}, True),
        ("jobset", {"options": {"queue": "q"}}, True),
        ("lws", {}, True),
        ("lws", {"options": QUEUE}, False),
        ("lws", {"options": {"exclusive": False}}, False),
        ("trainjob", {}, False),
        ("trainjob", {"options": QUEUE}, True),
        ("volcano", {"options": {"domain_tier": 1}}, True),
        ("volcano", {"options": {"tier": 1}}, False),
        ("mpijob", {}, False),
    ],
)
def test_order_is_proven_where_something_fixes_it(target: str, given: dict[str, Any], expected: bool) -> None:
    """Eight nodes on two leaves of one pod."""
    assert proven(target, 8, 2, fabric=PODS, **given) is expected


@pytest.mark.parametrize("target", CONTROLLERS)
def test_one_node_has_no_order(target: str) -> None:
    assert proven(target, 1, 8, site=BARE)
    assert proven(target, 3, 8, instances=3, site=BARE)


def test_one_leaf_is_held_by_a_group_of_leader_and_workers_too() -> None:
    assert proven("lws", 4, 2, options=QUEUE)
    assert proven("volcano", 4, 2, options={"tier": 1})


def test_leaves_that_two_instances_share_are_nobodys_own() -> None:
    assert not proven("jobset", 8, 2, instances=4)
    assert proven("jobset", 8, 2, instances=2)


def test_uneven_leaves() -> None:
    """A JobSet spells them out; groups and partitions are of one size; Kueue would place two sets of pods apart."""
    assert proven("jobset", 10, 2)
    assert not proven("jobset", 10, 2, options=QUEUE)
    assert "are of one size" in checks(kubernetes("lws", 10, 2, fabric=LEAVES, site=TOPOLOGY))["order-unproven"].message
    failed = checks(kubernetes("volcano", 10, 2, fabric=LEAVES, options={"domain_tier": 1}))["volcano-domains"]
    assert (failed.status, failed.limit) == ("fail", "domains of one size")


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("kubernetes_job", {}, "neither starts nor starts again as a whole"),
        ("kubernetes_job", {"queue": "q"}, "does not start again as a whole"),
        ("jobset", {}, "nothing starts a JobSet's pods all or none"),
        ("jobset", {"queue": "q"}, None),
        ("lws", {}, "nothing starts a group's pods all or none"),
        ("lws", {"queue": "q"}, None),
        ("trainjob", {}, "nothing starts a TrainJob's pods all or none"),
        ("trainjob", {"queue": "q"}, None),
        ("trainjob", {"gang": "coscheduling"}, None),
        ("volcano", {}, None),
        ("mpijob", {}, "only where its operator runs with --gang-scheduling"),
    ],
)
def test_what_does_not_start_whole_is_said(target: str, options: dict[str, Any], expected: str | None) -> None:
    found = checks(kubernetes(target, 2, 8, options=options)).get("gang")
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert found.status == "warn"
        assert expected in found.message
    assert "gang" not in checks(kubernetes(target, 1, 8, options=options))


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


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ({}, None),
        ({"rdma_resource": "rdma/ib"}, "without IPC_LOCK"),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"]}, None),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"], "run_as_user": 1000}, "does nothing for a user who is not root"),
        ({"rdma_resource": "rdma/ib", "capabilities": ["IPC_LOCK"], "run_as_user": 0}, None),
    ],
)  # fmt: skip
def test_memory_that_cannot_be_locked(site: dict[str, Any], expected: str | None) -> None:
    plan = kubernetes("jobset", 1, 8, site=Site(name="s", kubernetes=KubernetesSite(**site)))
    found = checks(plan).get("memlock")
    assert (found is None) is (expected is None)
    assert found is None or str(expected) in found.message


def test_shared_memory_is_memory_of_the_pod() -> None:
    site = Site(name="s", kubernetes=KubernetesSite(memory_per_gpu_bytes=2**33))
    assert checks(kubernetes("jobset", 1, 8, site=site))["shm"].status == "fail"
    assert "shm" not in checks(kubernetes("jobset", 1, 16, site=site))


def test_groups_that_share_a_nodes_ports() -> None:
    site = Site(name="s", kubernetes=KubernetesSite(host_network=True))
    assert checks(kubernetes("lws", 1, 8, instances=2, site=site))["ports"].status == "fail"
    assert "ports" not in checks(kubernetes("jobset", 1, 8, instances=2, site=site))


def test_a_set_that_serves_does_not_train() -> None:
    plan = kubernetes("lws", 2, 8)
    assert "lws-serves" not in checks(plan)
    world = replace(plan.world, config=replace(plan.config, workload=replace(plan.config.workload, kind="train")))
    found = checks(replace(plan, world=world))["lws-serves"]
    assert (found.status, "max_restarts=3 nor time_limit=24:00:00" in found.message) == ("warn", True)


def test_ranks_that_find_each_other_by_mpi_want_an_mpijob() -> None:
    for target in ("jobset", "mpijob"):
        plan = kubernetes(target, 2, 8)
        given = replace(job(plan), mpi="pmix")
        found = list(of_job(target, given, plan.config.scheduler[target], mpi=target == "mpijob"))
        assert ("mpi" in [item.id for item in found]) is (target == "jobset")


def test_what_has_no_effect_is_said() -> None:
    found = checks(kubernetes("jobset", 2, 8, spare_nodes=2))
    assert found["spares"].message.startswith("launch.spare_nodes=2 has no effect under scheduler=jobset")
    assert "a slim Python image" in found["image"].message
    assert "image" not in checks(kubernetes("jobset", 2, 8, image="i"))


def test_the_command_line_stops_with_3_and_2(tmp_path: Path) -> None:
    base = ["hardware=h100_80gb", "hardware.nodes=2", "parallel=tp8_adp2", "model=llama3_1_8b", "scheduler=jobset"]
    failed = call(*base, "scheduler.jobset.topology=required", cwd=tmp_path)
    assert failed.code == 3
    assert failed.errors[0].startswith("error: kueue-topology: scheduler.jobset.topology=required is Kueue's")
    assert call(*base, "scheduler.jobset.topology=wanted", cwd=tmp_path).code == 2
    assert not (tmp_path / "out").exists()
    assert call(*base, "scheduler.jobset.exclusive=false", cwd=tmp_path).code == 0
    (plan,) = (tmp_path / "out").iterdir()
    ids = [item["id"] for item in json.loads((plan / "plan.json").read_text())["checks"]]
    assert {"order-unproven", "gang", "image", "webhooks"} <= set(ids)


def the(kind: str, plan: SmallPlan) -> Node:
    (found,) = [item for item in documents(plan) if item["kind"] == kind]
    return found


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
        (16, "required", {"preferred-topology": KEYS.pod, "slice-required-topology": KEYS.leaf, "slice-size": "4"}),
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


SITES = {
    "eks_efa": ("h100_80gb", {"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": str(5 * 2**30)}),
    "gke": ("h200", {}),
    "aks": ("h100_80gb", {"rdma/hca_shared_devices_a": "1"}),
    "coreweave": ("h100_80gb", {"rdma/ib": "1"}),
    "gb200": ("gb200_nvl72", {}),
}


@pytest.mark.parametrize("site", SITES)
def test_a_sites_profile_compiles_to_what_its_cluster_wants(site: str, tmp_path: Path) -> None:
    hardware, resources = SITES[site]
    nodes, parallel = (36, "tp4_adp36") if site == "gb200" else (32, "tp8_adp32")
    base = [f"site={site}", f"hardware={hardware}", f"hardware.nodes={nodes}", f"parallel={parallel}"]
    given = ["model=llama3_1_8b", "workload.global_batch_size=576", "scheduler=jobset", "launch.image=i", "name=p"]
    done = call(*base, *given, cwd=tmp_path)
    assert done.code == 0, done.err
    assert not [line for line in done.err.splitlines() if re_id(line) in ("memlock", "nccl-device-names", "shm")]
    text = (tmp_path / "out" / "p" / "kubernetes" / "jobset.yaml").read_text()
    for name, amount in resources.items():
        assert text.count(f'{name}: "{amount}"') == 4  # limits and requests, of the preflight and of the ranks
    assert ("exclusive-topology" in text) is (site != "aks")
    assert ("ComputeDomain" in (tmp_path / "out" / "p" / "kubernetes" / "jobset.yaml").read_text()) is (site == "gb200")


def re_id(line: str) -> str:
    """The id of a check that a line of the command is about."""
    return line.removeprefix("warning: ").split(":", 1)[0]
