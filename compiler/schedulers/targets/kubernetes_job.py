"""`scheduler=kubernetes_job`: an Indexed Job and a headless Service for each instance, and no custom resource."""

from __future__ import annotations

from typing import Optional

from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import failure, kueue, names, pod
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import Place, container, port
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, by_host, metadata, service
from compiler.schedulers.kubernetes.options import Queued
from compiler.specs.fields import quantity
from compiler.specs.limits import INT32

CONTAINER = "ranks"
JOB, INDEX = "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Options(Queued):
    """Of Indexed Jobs."""

    ttl_s: Optional[int] = quantity("s", (0, INT32), (1, 1e8), None)
    """How long a finished Job is kept."""


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    found = []
    for instance, name in enumerate(_named(job)):
        selector = {JOB: name}
        found += domains(name, job, options)
        found.append(service(name, selector, port(job, instance), job, options))
        found.append(_job(name, instance, job, options, plan))
    return found


def leaders(job: Job, _: Options) -> list[str]:
    """Where rank 0 of each instance is."""
    return [f"{name}-0.{name}" for name in _named(job)]


def first(job: Job, _: Options, instance: int | None) -> Node:
    own = {} if instance is None else {JOB: _named(job)[instance]}
    return {INDEX: "0", **own}


def _named(job: Job) -> tuple[str, ...]:
    return names.each(job.name, job.instances, names.indexed_job(job.nodes))


def _job(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    place = Place(
        node="$(JOB_COMPLETION_INDEX)", master=f"{name}-0.{name}", instance=str(instance), by_host=by_host(job)
    )
    ranks = container(CONTAINER, job, place, instance)
    spec = pod.spec(job, options, ranks, plan, instance, claim(name, job), subdomain=name)
    placed = kueue.placement(job, options.topology)
    ttl = {} if options.ttl_s is None else {"ttlSecondsAfterFinished": options.ttl_s}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(name, job, options, labels=kueue.labels(options.queue, options.queue_priority)),
        "spec": {
            "completionMode": "Indexed",
            "completions": job.nodes,
            "parallelism": job.nodes,
            "backoffLimit": 0,
            "activeDeadlineSeconds": job.time_limit_s,
            **ttl,
            "podFailurePolicy": failure.of_pods(),
            "template": pod.template(spec, job, placed.annotations() if placed else None),
        },
    }


def order(job: Job, options: Options) -> Problem | None:
    return kueue.order(job, options.topology, "an Indexed Job's pod index", "kubernetes_job")


def gang(job: Job, options: Options) -> Problem | None:
    if job.nodes == 1:
        return None
    start = "does not start" if options.queue else "neither starts nor starts"
    return Problem(f"an Indexed Job {start} again as a whole: one failed pod ends it", "write scheduler=jobset")


TARGET = Controller("kubernetes_job", Options, objects, order, gang, first, leaders).target()
