"""Rules of Kubeflow Trainer v2: what its replicated job and container are called, and what they may be."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.schedulers.kubernetes.webhooks import Document, Finding
from compiler.schedulers.kubernetes.webhooks.core import LABEL, label
from compiler.schedulers.kubernetes.webhooks.jobset import jobset_spec

ANCESTOR = "trainer.kubeflow.org/trainjob-ancestor-step"
POLICIES = ("torch", "mpi", "jax", "xgboost", "flux")


def runtime(item: Document) -> Iterator[Finding]:
    """The JobSet that the runtime is made for has the TrainJob's name, which is the runtime's here."""
    spec = item["spec"]["template"]["spec"]
    yield from jobset_spec(item["metadata"]["name"], "spec.template.spec", spec)
    trained = 0
    for index, child in enumerate(spec["replicatedJobs"]):
        where = f"spec.template.spec.replicatedJobs[{index}]"
        if child["template"].get("metadata", {}).get("labels", {}).get(ANCESTOR) != "trainer":
            continue
        trained += 1
        if child.get("replicas", 1) != 1:
            yield where, f"has {child['replicas']} replicas, and the trainer's job has 1"
        if "node" not in [
            container["name"] for container in child["template"]["spec"]["template"]["spec"]["containers"]
        ]:
            yield where, "has no container called node, which is the one that the trainer starts"
    if trained != 1:
        yield "spec.template.spec.replicatedJobs", f"has {trained} jobs with the label {ANCESTOR}: trainer, not 1"
    policies = [name for name in POLICIES if name in item["spec"].get("mlPolicy", {})]
    if len(policies) > 1:
        yield "spec.mlPolicy", f"has {' and '.join(policies)}, and may have one"


def train_job(item: Document) -> Iterator[Finding]:
    name, spec = item["metadata"]["name"], item["spec"]
    nodes = int(spec.get("trainer", {}).get("numNodes", 1))
    yield from label("metadata.name", f"{name}-node-0-{nodes - 1}-abcde", LABEL)
    if spec.get("trainer", {}).get("numProcPerNode", 1) < 1:
        yield "spec.trainer.numProcPerNode", "must be at least 1"


RULES = {"trainer.kubeflow.org/TrainingRuntime": runtime, "trainer.kubeflow.org/TrainJob": train_job}
