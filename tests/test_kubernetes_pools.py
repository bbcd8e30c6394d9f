"""Prefill and decode under every controller: schemas, where ranks run, how the pools find each other, and DisaggregatedSet."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.checks import Check
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes.webhooks import refused
from compiler.schedulers.runtime_files import launch_json
from compiler.specs.hardware import Fabric
from compiler.specs.site import KubernetesSite, Site
from tests import crds, manifests
from tests.command import call
from tests.controllers import CONTROLLERS, Node, Pod, documents, pods
from tests.kubernetes_plans import KEYS, POOLS, TOPOLOGY, kubernetes_pools, made_pools
from tests.launched import expected, under_kubernetes
from tests.manifests import drop, put
from tests.plans import SmallPools, files

SET = "disaggregatedset.x-k8s.io/v1"
NO_LEAVES = Site(name="pods", kubernetes=KubernetesSite(topology=replace(KEYS, leaf=None)))
PODS = Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=4)


def of(role: str, started: list[Pod]) -> list[Pod]:
    return [pod for pod in started if pod.labels["app.kubernetes.io/component"] == role]


def config_maps(found: list[Node]) -> list[Node]:
    return [item for item in found if item["kind"] == "ConfigMap"]


def checks(made: SmallPools) -> dict[str, Check]:
    """The checks that do not pass, by id."""
    return {item.id: item for item in registry.checks(made) if item.status != "pass"}


@crds.needed
@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_object_fits_its_schema(target: str, name: str) -> None:
    found = documents(made_pools(target, name))
    manifests.fit(found)
    names = [(item["kind"], item["metadata"]["name"]) for item in found]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["full", "queued"])
@pytest.mark.parametrize("target", CONTROLLERS)
def test_manifests_pass_yamllint(target: str, name: str, tmp_path: Path) -> None:
    manifests.lint(files(made_pools(target, name)), tmp_path)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_rank_of_each_pool_is_where_its_plan_says(target: str, name: str) -> None:
    made = made_pools(target, name)
    started = pods(documents(made))
    for role, part in made.parts.items():
        launch, table = json.loads(launch_json(job(part))), expected(part)
        if launch["ranks_per_node"] < launch["gpus_per_node"]:  # which pods share a node is the scheduler's choice
            table = {(instance, rank): (instance, rank) for instance, rank in table}
        assert under_kubernetes(of(role, started), launch) == table


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_pod_finds_rank_0_of_every_instance_of_both(target: str, name: str) -> None:
    made = made_pools(target, name)
    found = documents(made)
    started = pods(found)
    (text,) = {item["data"]["endpoints"] for item in config_maps(found) if "endpoints" in item.get("data", {})}
    lines = [line.split() for line in text.splitlines()]
    assert [(role, int(instance)) for role, instance, _, _ in lines] == [
        (role, instance) for role, part in made.parts.items() for instance in range(part.world.instances)
    ]
    for role, instance, address, port in lines:
        mine = [pod.environment for pod in of(role, started) if pod.environment.get("RANKPLAN_INSTANCE") == instance]
        (master,) = {environment["MASTER_ADDR"] for environment in mine}
        assert _resolves(address, started, found) == _resolves(master, started, found)
        assert _resolves(address, started, found).index == 0
        assert {environment["MASTER_PORT"] for environment in mine} == {port}
        assert {environment["RANKPLAN_ENDPOINTS"] for environment in mine} == {"/etc/rankplan/endpoints"}
        assert {environment["RANKPLAN_POOL"] for environment in mine} == {role}


def _resolves(address: str, started: list[Pod], found: list[Node]) -> Pod:
    """The one pod behind a name: its own host name, or all that a headless Service selects."""
    services = {item["metadata"]["name"]: item["spec"] for item in found if item["kind"] == "Service"}
    if address not in services:
        (pod,) = [pod for pod in started if pod.address == address]
        return pod
    spec = services[address]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    (pod,) = [pod for pod in started if spec["selector"].items() <= pod.labels.items()]
    return pod


@pytest.mark.parametrize("target", CONTROLLERS)
def test_the_folder_says_what_belongs_to_which_pool(target: str) -> None:
    made = made_pools(target, "full")
    both = {item["metadata"]["labels"]["app.kubernetes.io/part-of"] for item in documents(made)}
    assert both == {"full"} or both == {"small"}
    names = {path for path in files(made) if path.startswith("kubernetes/")}
    assert {"kubernetes/prefill-configmap.yaml", "kubernetes/decode-configmap.yaml"} < names
    assert not any("/" in path.removeprefix("kubernetes/") for path in names)


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_compiled_plan_is_whole(target: str, tmp_path: Path) -> None:
    pools = "workload.pools={prefill: {parallel: tp8, instances: 2}, decode: {parallel: ep16}}"
    given = ("model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=4", f"scheduler={target}")
    ran = call(*given, "launch.image=registry/serve:1", pools, cwd=tmp_path)
    assert ran.code == 0, ran.err
    (folder,) = (tmp_path / "out").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {path.name for path in (folder / "kubernetes").iterdir()} == {
        path.removeprefix("kubernetes/") for path in manifest["files"] if path.startswith("kubernetes/")
    }


def test_pods_of_both_pools_on_one_nodes_ports_are_refused() -> None:
    shared = Site(name="test", kubernetes=KubernetesSite(host_network=True))
    found = checks(kubernetes_pools("kubernetes_job", (1, 2), (1, 2), site=shared))["pools-ports"]
    assert found.status == "fail"
    assert "pods of both pools may share a node and, by site.kubernetes.host_network, its ports" in found.message
    assert "pools-ports" not in checks(kubernetes_pools("kubernetes_job", (1, 1), (1, 2), site=shared))


class TestDisaggregatedSet:
    @pytest.fixture
    def document(self) -> Node:
        (found,) = [item for item in documents(made_pools("lws", "leaves")) if item["apiVersion"] == SET]
        return copy.deepcopy(found)

    def test_is_one_object_with_a_role_for_each_pool(self, document: Node) -> None:
        roles = document["spec"]["roles"]
        assert [(role["name"], role["spec"]["replicas"]) for role in roles] == [("prefill", 4), ("decode", 1)]
        assert [role["spec"]["leaderWorkerTemplate"]["size"] for role in roles] == [4, 32]

    @pytest.mark.parametrize(
        ("shape", "given", "expected"),
        [
            (((2, 1), (2, 1)), {}, {"type": "ExclusiveSlice", "topology": KEYS.leaf}),
            (((4, 1), (4, 1)), {"options": {"exclusive": False}}, None),
            (((2, 2), (4, 1)), {}, None),  # decode has two nodes of each leaf to itself
            (((2, 2), (4, 1)), {"site": NO_LEAVES}, {"type": "ExclusiveSlice", "topology": KEYS.pod}),
            (((2, 1), (2, 1)), {"options": {"exclusive": True}}, {"type": "ExclusiveTopology", "topology": KEYS.leaf}),
            (((2, 1), (2, 1)), {"site": Site(name="bare")}, None),
            (((2, 1), (2, 1)), {"options": {"queue": "q", "topology": "required"}}, None),
            (((16, 1), (16, 1)), {}, None),
        ],
    )
    def test_stays_within_the_domain_that_the_plan_has_for_both(
        self, shape: tuple[tuple[int, int], tuple[int, int]], given: dict[str, Any], expected: Node | None
    ) -> None:
        made = kubernetes_pools("lws", *shape, **{"fabric": PODS, "site": TOPOLOGY, **given})
        (found,) = [item for item in documents(made) if item["apiVersion"] == SET]
        assert found["spec"].get("placementPolicy") == expected
        assert [item for item in refused([found]) if item.status != "pass"] == []

    def test_names_leave_room_for_what_its_controllers_append(self) -> None:
        for queue in (None, "q"):
            made = kubernetes_pools("lws", (12, 12), (8, 1), name="x" * 90, options={"queue": queue})
            (found,) = [item for item in documents(made) if item["apiVersion"] == SET]
            started = pods(documents(made))
            assert max(len(pod.address.split(".")[0]) for pod in started) <= 63
            assert len(found["metadata"]["name"]) == (39 if queue else 50) - 1 - len("-0-12345678-prefill")

    @crds.needed
    def test_a_field_that_is_not_one_is_refused(self, document: Node) -> None:
        assert crds.errors(document) == []
        document["spec"]["roles"][0]["replicas"] = 2
        assert crds.errors(document)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (put("metadata.name", "x" * 64), "has 64 characters, more than 63"),
            (put("metadata.name", "x" * 45), r"spec.roles\[prefill\] and the set's name make names of 7\d characters"),
            (lambda item: item["spec"]["roles"].pop(), "spec.roles has 1, and needs 2 or more"),
            (put("spec.roles.1.name", "prefill"), "spec.roles has a name twice"),
            (put("spec.roles.1.spec.replicas", 0), r"has \[4, 0\] replicas: all must be zero, or none"),
            (put("spec.placementPolicy", {"type": "ExclusiveSlice"}), "names no topology"),
            (
                put("spec.placementPolicy", {"type": "ExclusiveSlice", "topology": "k"}),
                r"roles\[decode\] has an annotation for exclusive topology beside the placementPolicy",
            ),
            (put("spec.roles.0.spec.rolloutStrategy.type", "OnDelete"), "is OnDelete, not RollingUpdate"),
            (
                put("spec.roles.0.spec.rolloutStrategy.rollingUpdateConfiguration.partition", 1),
                "has a partition, which a role may not",
            ),
            (
                put("spec.roles.0.spec.leaderWorkerTemplate.workerTemplate.spec.restartPolicy", "Never"),
                r"spec.roles\[prefill\]: .* must be Always",
            ),
            (
                drop("spec.roles.1.spec.leaderWorkerTemplate.subGroupPolicy"),
                r"spec.roles\[decode\]: .* is missing, which",
            ),
        ],
    )
    def test_what_only_a_webhook_knows_is_refused(
        self, document: Node, change: Callable[[Node], Any], message: str
    ) -> None:
        assert [item.status for item in refused([document])] == ["pass"]
        change(document)
        found = [item.message for item in refused([document]) if item.status == "fail"]
        assert any(re.search(message, text) for text in found), found


def test_a_value_that_no_manifest_carries_is_refused_by_name(tmp_path: Path) -> None:
    pools = "workload.pools={prefill: {parallel: tp8}, decode: {parallel: tp8}}"
    given = ("model=qwen3_30b_a3b", "hardware=h100_80gb", "hardware.nodes=2", "scheduler=lws")
    ran = call(*given, pools, "launch.mounts=[/a:/dev/shm]", cwd=tmp_path)
    assert ran.code == 2
    assert "mount target /dev/shm is taken ; write another target" in ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", CONTROLLERS)
def test_what_is_promised_of_each_pool(target: str) -> None:
    """Nothing ties pods to nodes here, and nothing starts them as a whole; the warnings name the pool."""
    found = checks(kubernetes_pools(target, (4, 1), (2, 2), site=Site(name="bare")))
    assert {item.status for item in found.values()} == {"warn"}
    assert "prefill.order-unproven" in found
    assert "decode.order-unproven" not in found  # a node each
    assert replace(found["prefill.order-unproven"], id="x").fix
