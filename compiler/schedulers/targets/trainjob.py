"""`scheduler=trainjob`: a TrainJob of Kubeflow Trainer v2 for each instance, and the TrainingRuntime that it refers to.

The runtime has no policy for torch or MPI, so nothing but our own program starts ranks, and exit codes stay what they are.
"""

from __future__ import annotations

from typing import Optional

from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import failure, kueue, names, pod
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import Place, container
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, by_host, metadata
from compiler.schedulers.kubernetes.options import Queued
from compiler.specs.fields import choice, quantity
from compiler.specs.limits import INT32

API = "trainer.kubeflow.org"
NODE = "node"
"""What the trainer calls its replicated job and its container."""


@dataclass(frozen=True)
class Options(Queued):
    """Of TrainJobs."""

    gang: Optional[str] = choice(("coscheduling", "volcano"), None)
    """The scheduler that starts all pods or none where no queue does; it must be installed with the trainer."""
    ttl_s: Optional[int] = quantity("s", (0, INT32), (1, 1e8), None)
    """How long a finished job's pods are kept."""


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    found = []
    for instance, name in enumerate(_named(job)):
        found += domains(name, job, options)
        found += [_runtime(name, instance, job, options, plan), _train_job(name, job, options)]
    return found


def leaders(job: Job, _: Options) -> list[str]:
    """Where rank 0 of each instance is."""
    return [_leader(name) for name in _named(job)]


def first(job: Job, _: Options, instance: int | None) -> Node:
    own = {} if instance is None else {"jobset.sigs.k8s.io/jobset-name": _named(job)[instance]}
    return {"batch.kubernetes.io/job-completion-index": "0", **own}


def _named(job: Job) -> tuple[str, ...]:
    return names.each(job.name, job.instances, names.trainjob(job.nodes))


def _leader(name: str) -> str:
    return f"{name}-{NODE}-0-0.{name}"


def _runtime(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    gang: Node = {"coscheduling": {"coscheduling": {"scheduleTimeoutSeconds": 600}}, "volcano": {"volcano": {}}}
    ttl = {} if options.ttl_s is None else {"ttlSecondsAfterFinished": options.ttl_s}
    jobset = {
        "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
        "successPolicy": {"operator": "All"},
        "failurePolicy": failure.of_jobset(job.launch.max_restarts),
        **ttl,
        "replicatedJobs": [_node(name, instance, job, options, plan)],
    }
    return {
        "apiVersion": f"{API}/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": metadata(name, job, options),
        "spec": {
            "mlPolicy": {"numNodes": job.nodes},
            **({"podGroupPolicy": gang[options.gang]} if options.gang else {}),
            "template": {"spec": jobset},
        },
    }


def _node(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    """The one child Job, whose pods the trainer counts."""
    place = Place(node="$(JOB_COMPLETION_INDEX)", master=_leader(name), instance=str(instance), by_host=by_host(job))
    spec = pod.spec(job, options, container(NODE, job, place, instance), plan, instance, claim(name, job))
    placed = kueue.placement(job, options.topology)
    return {
        "name": NODE,
        "replicas": 1,
        "template": {
            "metadata": {"labels": {f"{API}/trainjob-ancestor-step": "trainer"}},
            "spec": {
                "completionMode": "Indexed",
                "completions": job.nodes,
                "parallelism": job.nodes,
                "backoffLimit": 0,
                "podFailurePolicy": failure.of_pods(),
                "template": pod.template(spec, job, placed.annotations() if placed else None),
            },
        },
    }


def _train_job(name: str, job: Job, options: Options) -> Node:
    return {
        "apiVersion": f"{API}/v1alpha1",
        "kind": "TrainJob",
        "metadata": metadata(name, job, options, labels=kueue.labels(options.queue, options.queue_priority)),
        "spec": {
            "runtimeRef": {"apiGroup": API, "kind": "TrainingRuntime", "name": name},
            "trainer": {"numNodes": job.nodes},
            "activeDeadlineSeconds": job.time_limit_s,
        },
    }


def order(job: Job, options: Options) -> Problem | None:
    return kueue.order(job, options.topology, "a TrainJob's pod index", "trainjob")


def gang(job: Job, options: Options) -> Problem | None:
    if job.nodes == 1 or options.queue is not None or options.gang is not None:
        return None
    return Problem(
        "nothing starts a TrainJob's pods all or none: two jobs may each hold half of the nodes",
        f"{kueue.queue('trainjob')}, or write scheduler.trainjob.gang=coscheduling",
    )


TARGET = Controller("trainjob", Options, objects, order, gang, first, leaders).target()
