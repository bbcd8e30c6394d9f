"""An Indexed Job for each instance, the headless Service that names its pods, and the ConfigMap they share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from compiler.render.artifacts import Artifact
from compiler.render.yaml import emit
from compiler.schedulers import runtime_files
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import names, pod
from compiler.schedulers.kubernetes.pod import Node

INDEX = "batch.kubernetes.io/job-completion-index"
NEVER_RETRIED = [64, 65, 66]
"""The self-check's exit codes: the same plan on the same nodes fails again."""


def artifacts(job: Job, options: Any) -> Iterator[Artifact]:
    """`kubectl apply --server-side -f` on the folder takes them in any order."""
    files = {pod.key(path): text for path, text in pod.files(job).items()}
    shared = names.config_map(job.name, runtime_files.digest(json.dumps(files, sort_keys=True)))
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(shared, job, options),
        "immutable": True,
        "data": files,
    }
    yield Artifact("kubernetes/configmap.yaml", emit([config_map]))
    started = names.jobs(job.name, job.instances, job.nodes)
    documents = [
        document
        for instance, name in enumerate(started)
        for document in (_service(name, job, options), _job(name, instance, shared, job, options))
    ]
    yield Artifact("kubernetes/job.yaml", emit(documents))


def _metadata(name: str, job: Job, options: Any, labels: Node | None = None) -> Node:
    namespace = {} if options.namespace is None else {"namespace": options.namespace}
    return {
        "name": name,
        **namespace,
        "labels": {**_labels(job), **(labels or {})},
        "annotations": {"rankplan/name": job.name, "rankplan/fingerprint": job.fingerprint},
    }


def _labels(job: Job) -> Node:
    return {
        "app.kubernetes.io/name": "rankplan",
        "app.kubernetes.io/instance": names.within(names.dns(job.name), names.LABEL),
    }


def _service(name: str, job: Job, options: Any) -> Node:
    """Pods find rank 0 by name before they are ready."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"batch.kubernetes.io/job-name": name},
        "ports": [{"name": "master", "port": pod.PORT}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(name, job, options), "spec": spec}


def _job(name: str, instance: int, config_map: str, job: Job, options: Any) -> Node:
    queue = {} if options.queue is None else {"kueue.x-k8s.io/queue-name": options.queue}
    ttl = {} if options.ttl_s is None else {"ttlSecondsAfterFinished": options.ttl_s}
    first = instance * job.world_size // job.gpus_per_node
    hosts = job.hosts[first : first + job.nodes]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(name, job, options, queue),
        "spec": {
            "completionMode": "Indexed",
            "completions": job.nodes,
            "parallelism": job.nodes,
            "backoffLimit": 0,
            "activeDeadlineSeconds": job.time_limit_s,
            **ttl,
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": {
                "metadata": {"labels": _labels(job)},
                "spec": pod.template(job, options, config_map, name, hosts, _place(name, instance)),
            },
        },
    }


def _failure_rules() -> list[Node]:
    """One failed pod ends the Job, as the others would wait for it for ever; an eviction is nobody's failure."""
    codes = {"containerName": pod.CONTAINER, "operator": "In", "values": NEVER_RETRIED}
    return [
        {"action": "FailJob", "onExitCodes": codes},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _place(name: str, instance: int) -> list[Node]:
    """The controller appends its own index variable last, where none before can use it; so it is declared here."""
    field = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    return [
        {"name": "JOB_COMPLETION_INDEX", "valueFrom": field},
        {"name": "NODE_RANK", "value": "$(JOB_COMPLETION_INDEX)"},
        {"name": "MASTER_ADDR", "value": f"{name}-0.{name}"},
        {"name": "RANKPLAN_INSTANCE", "value": str(instance)},
    ]
