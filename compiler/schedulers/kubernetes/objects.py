"""What every object of a plan has: its metadata, and the headless Service that names pods."""

from __future__ import annotations

from typing import Any

from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.kubernetes import names

Node = dict[str, Any]
INSTANCE = "app.kubernetes.io/instance"
PLAN = "rankplan/plan"
"""Which plan of its name an object is of, by the start of its fingerprint: what an older one left is found by it."""
PART_OF = "app.kubernetes.io/part-of"


def metadata(name: str, job: Job | Jobs, options: Any, **more: Node) -> Node:
    """`more` are further labels and annotations."""
    namespace = {} if options.namespace is None else {"namespace": options.namespace}
    own = {"rankplan/name": job.name, "rankplan/fingerprint": job.fingerprint}
    return {
        "name": name,
        **namespace,
        "labels": {**labels(job), PLAN: job.fingerprint[:12], **more.get("labels", {})},
        "annotations": {**own, **more.get("annotations", {})},
    }


def labels(job: Job | Jobs) -> Node:
    """What an object is of: a plan, or with pools a pool's plan, its role, and the plan that is both."""
    found = {"app.kubernetes.io/name": "rankplan", INSTANCE: names.label(job.name)}
    if isinstance(job, Jobs):
        return {**found, PART_OF: names.label(job.name)}
    own = role(job)
    if own is None:
        return found
    return {**found, "app.kubernetes.io/component": own, PART_OF: names.label(job.name.removesuffix(f"_{own}"))}


def role(job: Job) -> str | None:
    """The pool that a job is, prefill or decode."""
    return job.world.config.workload.role


def by_host(job: Job) -> bool:
    """Whether a pod's slot can be that of its node: the plan is pinned, and no other pool looks for rank 0 by the pod's number."""
    return bool(job.hosts) and role(job) is None


def service(name: str, selector: Node, port: int, job: Job, options: Any) -> Node:
    """Headless: pods find rank 0 by name, before they are ready."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector,
        "ports": [{"name": "master", "port": port}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, job, options), "spec": spec}
