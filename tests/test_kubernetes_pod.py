"""What a pod is given under each controller: limits, privileges, places, devices and values."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.schedulers import registry
from compiler.schedulers.job import jobs
from compiler.specs.site import KubernetesSite, Site
from tests.controllers import CONTROLLERS, documents, pods
from tests.kubelet import BY_SPAWN, of_kind, specs
from tests.kubernetes_plans import VALUES, kubernetes, made
from tests.manifests import templates


@pytest.mark.parametrize("target", CONTROLLERS)
def test_hostile_values_reach_the_container_unchanged(target: str) -> None:
    """As a parser reads the manifest and the kubelet expands it; under MPI the launcher has them and passes them on."""
    pod = pods(documents(made(target, "full")))[-1]
    assert {name: pod.environment[name] for name in VALUES} == VALUES


@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_pod_is_closed_and_has_what_ranks_need(target: str) -> None:
    for spec in specs(made(target, "two")):
        (container,) = spec["containers"]
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        assert spec["restartPolicy"] == ("Always" if target == "lws" else "Never")
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {"allowPrivilegeEscalation": False}
        assert spec["terminationGracePeriodSeconds"] == 130  # the checkpoint's 120 s and 10 of our own
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(64 * 2**30)}} in spec["volumes"]
        if container["command"][3:4] == ["/etc/rankplan/runtime/spawn.py"]:
            assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}


@pytest.mark.parametrize("target", CONTROLLERS)
def test_pods_ask_for_cpus_and_memory_where_the_site_says_nothing_of_them(target: str) -> None:
    """Without limits: a program may use what a node has left."""
    for spec in specs(made(target, "two")):
        resources = spec["containers"][0]["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert not {"cpu", "memory"} & set(resources.get("limits", {}))
        if "limits" in resources:
            assert resources["requests"] == {"nvidia.com/gpu": "8", "cpu": "32", "memory": str(128 * 2**30)}


@pytest.mark.parametrize("target", CONTROLLERS)
def test_pods_leave_a_dead_node_within_a_minute(target: str) -> None:
    """A gang stands still meanwhile; a site that has its own time for one of them keeps it."""
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    site = Site(name="s", kubernetes=KubernetesSite(tolerations=[own]))
    for given, expected in (({}, [60, 60]), ({"site": site}, [5, 60])):
        for spec in specs(kubernetes(target, 2, 8, **given)):
            left = {
                item["key"]: item["tolerationSeconds"] for item in spec["tolerations"] if "tolerationSeconds" in item
            }
            assert left == {
                f"node.kubernetes.io/{why}": time
                for why, time in zip(("not-ready", "unreachable"), expected, strict=True)
            }


@pytest.mark.parametrize("target", CONTROLLERS)
def test_site_and_options_reach_every_pod(target: str) -> None:
    plan = made(target, "full")
    for document in documents(plan):
        assert document["metadata"]["namespace"] == "team-a"
    for spec in specs(plan):
        (container,) = spec["containers"]
        assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("high", "runner")
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
        assert spec["securityContext"] == {
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]},
            "readOnlyRootFilesystem": True,
        }
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        assert mounts == {"/etc/rankplan": True, "/dev/shm": False, "/tmp": False, "/data": True, "/c d": False}
        if "limits" in container["resources"]:
            assert spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "h100", "pool": "true"}
            assert container["resources"]["limits"] == {
                "nvidia.com/gpu": "8",
                "rdma/ib": "8",
                "cpu": "96",
                "memory": str(2**40),
                "hugepages-2Mi": str(5 * 2**30),
            }
    entry = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    holders = [spec["containers"][0] for spec in specs(plan) if entry in spec["containers"][0].get("env", [])]
    ranks = [spec["containers"][0] for spec in specs(plan) if "limits" in spec["containers"][0]["resources"]]
    assert len(holders) == 1 if target == "mpijob" else holders == ranks  # mpirun carries it to the others
    for document in documents(plan):
        for template in templates(document):
            assert template["metadata"]["annotations"]["networking.gke.io/default-interface"] == "eth0"


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_pinned_plan_requires_the_set_of_its_hosts(target: str) -> None:
    """Which index runs on which of them is the scheduler's choice: the check order-unproven says so."""
    placed = [spec["affinity"]["nodeAffinity"] for spec in specs(made(target, "full")) if "affinity" in spec]
    assert placed
    for affinity in placed:
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"]
        assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2", "n3"]}


@pytest.mark.parametrize("target", BY_SPAWN)
def test_instances_that_share_a_node_ask_for_their_own_share(target: str) -> None:
    site = Site(name="rdma", kubernetes=KubernetesSite(rdma_resource="rdma/ib", rdma_per_node=8, host_network=True))
    plan = kubernetes(target, 1, 8, instances=2, site=site)
    for spec in specs(plan):
        assert spec["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "4", "rdma/ib": "4"}
    ports = [pod.environment["MASTER_PORT"] for pod in pods(documents(plan))]
    assert ports == (["29500", "29500"] if target == "lws" else ["29500", "29501"])


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_parser_reads_the_typed_data_back(target: str) -> None:
    plan = made(target, "full")
    controller: Any = registry.target(target).artifacts
    written = controller.__self__.documents(jobs(plan), plan.config.scheduler[target])
    assert documents(plan) == [item for part in written.values() for item in part]


@pytest.mark.parametrize("target", CONTROLLERS)
def test_a_compute_domain_is_claimed_by_every_pod_with_gpus(target: str) -> None:
    plan = made(target, "racks")
    (domain,) = of_kind(plan, "ComputeDomain")
    claim = domain["spec"]["channel"]["resourceClaimTemplate"]["name"]
    assert domain["apiVersion"] == "resource.nvidia.com/v1beta2"
    for spec in specs(plan):
        container = spec["containers"][0]
        if "limits" in container.get("resources", {}):
            assert spec["resourceClaims"] == [{"name": "compute-domain", "resourceClaimTemplateName": claim}]
            assert container["resources"]["claims"] == [{"name": "compute-domain"}]
