"""Every manifest of every controller against the servers' own schemas, and broken ones, which must be refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from compiler.schedulers.kubernetes.webhooks import refused
from tests import crds, manifests
from tests.controllers import CONTROLLERS, documents
from tests.kubernetes_plans import NAMES, made
from tests.manifests import VERSIONS, Document, drop, put, templates
from tests.plans import files


@crds.needed
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", CONTROLLERS)
def test_every_object_fits_its_schema(target: str, name: str) -> None:
    manifests.fit(documents(made(target, name)))


@pytest.mark.parametrize("name", ["full", "racks", "queued"])
@pytest.mark.parametrize("target", CONTROLLERS)
def test_manifests_pass_yamllint(target: str, name: str, tmp_path: Path) -> None:
    manifests.lint(files(made(target, name)), tmp_path)


def the(target: str, kind: str) -> Document:
    (found,) = [item for item in documents(made(target, "queued")) if item["kind"] == kind]
    return copy.deepcopy(found)


JOB = "spec.replicatedJobs.0.template.spec"
RUNTIME = f"spec.template.{JOB}"
SCHEMA_BREAKS = {
    "kubernetes_job/ConfigMap": put("data", "text"),
    "kubernetes_job/Service": put("spec.selectors", {}),
    "kubernetes_job/Job": put("spec.completion", 4),
    "jobset/JobSet": put(f"{JOB}.template.spec.containers.0.envs", []),
    "lws/LeaderWorkerSet": put("spec.leaderWorkerTemplate.sizes", 4),
    "trainjob/TrainJob": put("spec.podTemplateOverrides", []),
    "trainjob/TrainingRuntime": put("spec.mlPolicy.torch", {"numProcPerNode": 8}),
    "volcano/Job": put("spec.policies.0.event", "PodDied"),
    "mpijob/MPIJob": put("spec.mpiReplicaSpecs.Worker.replicas", "four"),
}


@crds.needed
@pytest.mark.parametrize("where", SCHEMA_BREAKS)
def test_a_field_that_is_not_one_is_refused(where: str) -> None:
    target, kind = where.split("/")
    document = the(target, kind)
    SCHEMA_BREAKS[where](document)
    if crds.is_custom(document):
        assert crds.errors(document)
        return
    for version in VERSIONS:
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(document, version, strict=True)


WEBHOOK_BREAKS: list[tuple[str, Callable[[Document], None], str]] = [
    ("kubernetes_job/ConfigMap", put("immutable", False), "immutable is not true"),
    ("kubernetes_job/ConfigMap", put("data.big", "x" * 2**20), "data holds 1\\d+ bytes, more than 1048576"),
    ("kubernetes_job/ConfigMap", put("data.a/b", ""), "data has the key a/b"),
    ("kubernetes_job/ConfigMap", lambda item: item.update(binaryData={"plan.json": ""}), "and binaryData share a key"),
    ("kubernetes_job/Service", put("metadata.name", "x" * 64), "has 64 characters, more than 63"),
    ("kubernetes_job/Service", put("metadata.name", "1x"), "no DNS label that starts with a letter"),
    ("kubernetes_job/Job", put("metadata.name", "x" * 62), "x-63 has 65 characters"),
    ("kubernetes_job/Job", put("spec.template.spec.restartPolicy", "Always"), "must be Never or OnFailure"),
    ("kubernetes_job/Job", put("spec.template.spec.restartPolicy", "OnFailure"), "needs restartPolicy Never"),
    ("kubernetes_job/Job", put("spec.podReplacementPolicy", "TerminatingOrFailed"), "must be Failed beside"),
    ("kubernetes_job/Job", drop("spec.completions"), "is required of an Indexed Job"),
    ("kubernetes_job/Job", put("spec.podFailurePolicy.rules.0.onExitCodes.values", [0, 64]), "has exit code 0"),
    ("kubernetes_job/Job", put("spec.podFailurePolicy.rules.0.onExitCodes.values", [65, 64]), "not in ascending order"),
    ("kubernetes_job/Job", put("spec.podFailurePolicy.rules.0.onExitCodes.containerName", "y"), "the container y"),
    ("kubernetes_job/Job", drop("spec.podFailurePolicy.rules.1.onPodConditions"), "needs either onExitCodes or"),
    ("kubernetes_job/Job", put("spec.template.spec.hostNetwork", True), "must be ClusterFirstWithHostNet"),
    ("kubernetes_job/Job", put("spec.template.spec.volumes.0.name", "shm"), "has shm 2 times"),
    ("kubernetes_job/Job", put("spec.template.spec.volumes.0.name", "other"), "mounts plan, which is no volume"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.resources.requests", {"nvidia.com/gpu": "4"}), "requests 4 of nvidia.com/gpu and is limited to 8"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.resources", {"limits": {"rdma/ib": "1.5"}}), "no whole number"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.resources", {"limits": {"hugepages-2Mi": "2Mi"}}), "without CPUs or memory"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.resources", {"claims": [{"name": "c"}]}), "uses the claim c"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.env", [{"name": "A", "value": "$(B)"}, {"name": "B", "value": ""}]), r"uses \$\(B\) in A before it is declared"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.env", [{"name": "A", "value": ""}] * 2), "has A 2 times"),
    ("kubernetes_job/Job", put("spec.template.spec.containers.0.env", [{"name": "A"}]), "gives A not one value"),
    ("kubernetes_job/Job", put("metadata.labels", {}), "has no kueue.x-k8s.io/queue-name"),
    ("jobset/JobSet", put("metadata.name", "x" * 60), "x-node-3-15-abcde has \\d+ characters"),
    ("jobset/JobSet", put("metadata.name", "x" * 46), "coordinator x+-node-0-0.s-[0-9a-f]+ is a label of 66 characters"),
    ("jobset/JobSet", put("spec.network.subdomain", "a.b"), "a.b is no DNS label"),
    ("jobset/JobSet", put("spec.failurePolicy.rules.0.name", "self-check"), "has a rule 'self-check': letters"),
    ("jobset/JobSet", put("spec.failurePolicy.rules.0.name", "self_check"), "has the rule self_check 2 times"),
    ("jobset/JobSet", put("spec.failurePolicy.rules.0.onJobFailureReasons", ["Bad"]), "names the reason Bad"),
    ("jobset/JobSet", put("spec.failurePolicy.rules.0.targetReplicatedJobs", ["no"]), "names the replicated job no"),
    ("jobset/JobSet", put("spec.successPolicy.targetReplicatedJobs", ["no"]), "successPolicy names the replicated job no"),
    ("jobset/JobSet", put("spec.coordinator.replicatedJob", "no"), "coordinator names the replicated job no"),
    ("jobset/JobSet", put("spec.coordinator.jobIndex", 4), "names job 4 of 4"),
    ("jobset/JobSet", put("spec.coordinator.podIndex", 16), "names pod 16, which"),
    ("jobset/JobSet", put("spec.replicatedJobs.0.dependsOn", [{"name": "a", "status": "Ready"}]), "has dependsOn at the first"),
    ("jobset/JobSet", put("spec.replicatedJobs.0.replicas", 2**31), "has more than 2147483647 pods"),
    ("jobset/JobSet", drop(f"{JOB}.template.spec.restartPolicy"), "gives no restartPolicy"),
    ("jobset/JobSet", lambda item: item["spec"]["replicatedJobs"].append(item["spec"]["replicatedJobs"][0]), "has a name twice"),
    ("lws/LeaderWorkerSet", put("metadata.name", "x" * 40), "has 40 characters, more than 39"),
    ("lws/LeaderWorkerSet", put("spec.leaderWorkerTemplate.size", 0), "0 of 1 replicas is out of range"),
    ("lws/LeaderWorkerSet", put("spec.leaderWorkerTemplate.subGroupPolicy", {"subGroupSize": 65}), "subGroupSize 65 in a group of 64"),
    ("lws/LeaderWorkerSet", put("spec.leaderWorkerTemplate.subGroupPolicy", {"subGroupSize": 10}), "divides neither 64 nor 63"),
    ("lws/LeaderWorkerSet", put("spec.leaderWorkerTemplate.subGroupPolicy", {"subGroupSize": 16, "subGroupPolicyType": "LeaderExcluded"}), "does not divide the 63 workers"),
    ("lws/LeaderWorkerSet", put("metadata.annotations", {"leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology": "k"}), "is missing, which"),
    ("lws/LeaderWorkerSet", put("spec.rolloutStrategy.rollingUpdateConfiguration", {"maxUnavailable": 0, "maxSurge": 0}), "neither maxUnavailable nor maxSurge"),
    ("lws/LeaderWorkerSet", put("spec.leaderWorkerTemplate.workerTemplate.spec.restartPolicy", "Never"), "must be Always"),
    ("trainjob/TrainingRuntime", put("spec.template.spec.replicatedJobs.0.replicas", 2), "has 2 replicas, and the trainer's job has 1"),
    ("trainjob/TrainingRuntime", put(f"{RUNTIME}.template.spec.containers.0.name", "ranks"), "has no container called node"),
    ("trainjob/TrainingRuntime", put("spec.template.spec.replicatedJobs.0.template.metadata", {}), "has 0 jobs with the label"),
    ("trainjob/TrainingRuntime", put("spec.mlPolicy", {"torch": {}, "mpi": {}}), "has torch and mpi, and may have one"),
    ("trainjob/TrainJob", put("metadata.name", "x" * 48), "x-node-0-63-abcde has 64 characters"),
    ("trainjob/TrainJob", put("spec.trainer.numProcPerNode", 0), "must be at least 1"),
    ("volcano/Job", put("metadata.name", "x" * 60), "x-node-63 has 68 characters"),
    ("volcano/Job", put("spec.minAvailable", 65), "65 is not within the 64 pods"),
    ("volcano/Job", put("spec.tasks.0.minAvailable", 65), "65 is not within its 64 replicas"),
    ("volcano/Job", put("spec.tasks", []), "spec.tasks is empty"),
    ("volcano/Job", lambda item: item["spec"]["tasks"].append(item["spec"]["tasks"][0]), "has a name twice"),
    ("volcano/Job", put("spec.plugins.torch", []), "names torch, which Volcano does not have"),
    ("volcano/Job", put("spec.policies.0.event", "PodFailed"), "without exactly one of event and exitCode"),
    ("volcano/Job", put("spec.policies.0.exitCode", 0), "has exitCode 0"),
    ("volcano/Job", put("spec.policies.0.exitCode", 65), "has 65 twice"),
    ("volcano/Job", put("spec.policies.0.action", "Panic"), "has the action Panic"),
    ("volcano/Job", put("spec.policies.3.event", "OutOfSync"), "has the event OutOfSync"),
    ("volcano/Job", put("spec.policies.3.event", "*"), r"has the event \* beside others"),
    ("volcano/Job", put("spec.tasks.0.partitionPolicy.partitionSize", 5), "has 4 x 5 pods, and the task 64"),
    ("volcano/Job", put("spec.tasks.0.partitionPolicy.minPartitions", 5), "has minPartitions 5 of 4"),
    ("volcano/Job", put("spec.networkTopology", {"mode": "hard"}), "either highestTierAllowed or highestTierName"),
    ("mpijob/MPIJob", put("metadata.name", "x" * 60), "x-worker-63 has 70 characters"),
    ("mpijob/MPIJob", put("spec.mpiReplicaSpecs.Launcher.replicas", 2), "has 2 replicas; a launcher is one"),
    ("mpijob/MPIJob", put("spec.mpiReplicaSpecs.Worker.replicas", 0), "has 0 replicas"),
    ("mpijob/MPIJob", put("spec.mpiReplicaSpecs.Worker.restartPolicy", "Always"), "has restartPolicy Always"),
    ("mpijob/MPIJob", drop("spec.mpiReplicaSpecs.Launcher"), "has no Launcher"),
    ("mpijob/MPIJob", lambda item: item["spec"]["mpiReplicaSpecs"].update(Master=item["spec"]["mpiReplicaSpecs"]["Worker"]), "is neither Launcher nor Worker"),
    ("mpijob/MPIJob", drop("spec.runPolicy.cleanPodPolicy"), "must be None, Running or All"),
    ("mpijob/MPIJob", put("spec.runPolicy.backoffLimit", -1), "backoffLimit is below 0"),
    ("mpijob/MPIJob", put("spec.slotsPerWorker", -1), "slotsPerWorker is below 0"),
]  # fmt: skip
KUEUE = "kueue.x-k8s.io/podset-"
KUEUE_BREAKS: list[tuple[str, dict[str, str | None], str]] = [
    ("jobset/JobSet", {"preferred-topology": "k"}, "has 2 of required-topology, preferred-topology"),
    ("jobset/JobSet", {"required-topology": None}, "has 0 of required-topology"),
    ("jobset/JobSet", {"required-topology": "a b"}, "has required-topology 'a b', which is no label of nodes"),
    ("jobset/JobSet", {"slice-size": None}, "has one of slice-required-topology and slice-size"),
    ("jobset/JobSet", {"slice-size": "65"}, "has slice-size 65 of 64 pods"),
    ("jobset/JobSet", {"slice-size": "x"}, "has slice-size x of 64 pods"),
    ("jobset/JobSet", {"slice-size": "10"}, "has slice-size 10, which does not divide its 64 pods"),
    ("jobset/JobSet", {"group-name": "g"}, "has slices in a group of pod sets"),
    ("kubernetes_job/Job", {"group-name": "7"}, "has the group 7, a number"),
    ("trainjob/TrainingRuntime", {"group-name": "g"}, r"has 1 pod sets of \[64\] pods, not two"),
    ("lws/LeaderWorkerSet", {"required-topology": "other"}, "has pod sets that ask for different topologies"),
]


@pytest.mark.parametrize(("where", "change", "message"), WEBHOOK_BREAKS)
def test_what_only_a_webhook_knows_is_refused(where: str, change: Callable[[Document], Any], message: str) -> None:
    target, kind = where.split("/")
    document = the(target, kind)
    assert [item.status for item in refused([document])] == ["pass"]
    change(document)
    found = list(refused([document]))
    assert {item.status for item in found} == {"fail"}
    assert any(re.search(message, item.message) for item in found), [item.message for item in found]


@pytest.mark.parametrize(("where", "values", "message"), KUEUE_BREAKS)
def test_annotations_that_kueue_refuses(where: str, values: dict[str, str | None], message: str) -> None:
    target, kind = where.split("/")
    document = the(target, kind)
    template = templates(document)[0]
    annotations = template["metadata"]["annotations"]
    for name, value in values.items():
        if value is None:
            del annotations[KUEUE + name]
        else:
            annotations[KUEUE + name] = value
    found = [item for item in refused([document]) if item.status == "fail"]
    assert any(re.search(message, item.message) for item in found), [item.message for item in found]
