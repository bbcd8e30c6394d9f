"""Rules of the MPI operator (v2beta1): one launcher, workers whose names are labels, policies that must be given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding
from compiler.schedulers.kubernetes.webhooks.core import label, pod


def mpijob(item: Document) -> Iterator[Finding]:
    name, spec = item["metadata"]["name"], item["spec"]
    replicas = spec["mpiReplicaSpecs"]
    if "Launcher" not in replicas:
        yield "spec.mpiReplicaSpecs", "has no Launcher"
    workers = int(replicas.get("Worker", {}).get("replicas", 1))
    yield from label("metadata.name", f"{name}-worker-{max(workers, 1) - 1}")
    yield from label("metadata.name", f"{name}-launcher")
    for role, given in replicas.items():
        yield from _role(f"spec.mpiReplicaSpecs[{role}]", role, given)
    policy = spec.get("runPolicy", {})
    if policy.get("cleanPodPolicy") not in ("None", "Running", "All"):
        yield "spec.runPolicy.cleanPodPolicy", "must be None, Running or All"
    for key in ("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if policy.get(key, 0) < 0:
            yield f"spec.runPolicy.{key}", "is below 0"
    if spec.get("slotsPerWorker", 1) < 0:
        yield "spec.slotsPerWorker", "is below 0"


def _role(where: str, role: str, given: dict[str, Any]) -> Iterator[Finding]:
    replicas = int(given.get("replicas", 1))
    if role not in ("Launcher", "Worker"):
        yield where, "is neither Launcher nor Worker"
    if replicas < 1 or (role == "Launcher" and replicas > 1):
        yield where, f"has {replicas} replicas; a launcher is one, workers are one or more"
    if given.get("restartPolicy") not in ("Never", "OnFailure"):
        yield where, f"has restartPolicy {given.get('restartPolicy')}, not Never or OnFailure"
    yield from pod(f"{where}.template.spec", given["template"]["spec"])


RULES = {"kubeflow.org/MPIJob": mpijob}
