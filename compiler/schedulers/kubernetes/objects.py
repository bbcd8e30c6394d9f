"""What every object of a plan has: its metadata, and the headless Service that names pods."""

from __future__ import annotations

from typing import Any

from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import names

Node = dict[str, Any]


def metadata(name: str, job: Job, options: Any, **more: Node) -> Node:
    """`more` are further labels and annotations."""
    namespace = {} if options.namespace is None else {"namespace": options.namespace}
    own = {"rankplan/name": job.name, "rankplan/fingerprint": job.fingerprint}
    return {
        "name": name,
        **namespace,
        "labels": {**labels(job), **more.get("labels", {})},
        "annotations": {**own, **more.get("annotations", {})},
    }


def labels(job: Job) -> Node:
    return {"app.kubernetes.io/name": "rankplan", "app.kubernetes.io/instance": names.label(job.name)}


def service(name: str, selector: Node, port: int, job: Job, options: Any) -> Node:
    """Headless: pods find rank 0 by name, before they are ready."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector,
        "ports": [{"name": "master", "port": port}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, job, options), "spec": spec}
