"""`scheduler=jobset`: a JobSet for each instance, with a child Job for each of its NVLink domains or leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Optional

from compiler.checks import Check
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import failure, kueue, names, pod, topology
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import Place, container, field_ref
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, by_host, metadata
from compiler.schedulers.kubernetes.options import Queued
from compiler.schedulers.kubernetes.order import Tie, Ties
from compiler.specs.fields import quantity
from compiler.specs.limits import INT32

CONTAINER = "ranks"
PREFIX = "jobset.sigs.k8s.io/"
INDEX = f"{PREFIX}job-index"
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
Shape = dict[str, tuple[int, int]]
"""Replicated job -> (child Jobs, pods of each), in the order of node slots."""


@dataclass(frozen=True)
class Options(Queued):
    """Of JobSets."""

    exclusive: Optional[bool] = None
    """Each child Job has a domain to itself, where the site names its label; null: unless Kueue places."""
    ttl_s: Optional[int] = quantity("s", (0, INT32), (1, 1e8), None)
    """How long a finished JobSet is kept."""


def shape(job: Job, instance: int, options: Options) -> Shape:
    """A child Job a domain; one alone where Kueue places them by several levels, or would place several sets of pods apart."""
    found = topology.shape(job, instance)
    placed = None if _exclusive(job, options) else kueue.placement(job, options.topology)
    if placed is not None and (len(placed.slices) > 1 or len(found) > 1):
        return {"node": (1, job.nodes)}
    return {f"node{index or ''}": run for index, run in enumerate(found)}


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    found = []
    for instance, (name, jobs) in enumerate(_named(job, options)):
        found += domains(name, job, options)
        found.append(_jobset(name, instance, jobs, job, options, plan))
    return found


def leaders(job: Job, options: Options) -> list[str]:
    """Where rank 0 of each instance is."""
    return [_leader(name, jobs) for name, jobs in _named(job, options)]


def first(job: Job, options: Options, instance: int | None) -> Node:
    own = {} if instance is None else {f"{PREFIX}jobset-name": _named(job, options)[instance][0]}
    child = next(iter(shape(job, 0, options)))
    return {f"{PREFIX}replicatedjob-name": child, INDEX: "0", "batch.kubernetes.io/job-completion-index": "0", **own}


def _named(job: Job, options: Options) -> list[tuple[str, Shape]]:
    """Each instance's JobSet: its name and what is in it."""
    shapes = [shape(job, instance, options) for instance in range(job.instances)]
    budget = min(names.jobset(item, subdomain=len(subdomain(""))) for item in shapes)
    return list(zip(names.each(job.name, job.instances, budget), shapes, strict=True))


def _leader(name: str, jobs: Shape) -> str:
    return f"{name}-{next(iter(jobs))}-0-0.{subdomain(name)}"


def subdomain(name: str) -> str:
    """Short, as pods carry it in a label together with the JobSet's name."""
    return f"s-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _jobset(name: str, instance: int, jobs: Shape, job: Job, options: Options, plan: Node) -> Node:
    queued, exclusive = kueue.labels(options.queue, options.queue_priority), _exclusive(job, options)
    annotations = {} if exclusive is None else {EXCLUSIVE: exclusive}
    ttl = {} if options.ttl_s is None else {"ttlSecondsAfterFinished": options.ttl_s}
    replicated, first = [], 0
    for child, (replicas, nodes) in jobs.items():
        replicated.append(_child(child, first, instance, name, jobs, job, options, plan))
        first += replicas * nodes
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata(name, job, options, labels=queued, annotations=annotations),
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": subdomain(name)},
            "coordinator": {"replicatedJob": next(iter(jobs)), "jobIndex": 0, "podIndex": 0},
            "successPolicy": {"operator": "All"},
            "failurePolicy": failure.of_jobset(job.launch.max_restarts),
            **ttl,
            "replicatedJobs": replicated,
        },
    }


def _child(
    child: str, first: int, instance: int, name: str, jobs: Shape, job: Job, options: Options, plan: Node
) -> Node:
    """One replicated job. Its pods' node ranks follow `first`, those of the jobs before."""
    replicas, nodes = jobs[child]
    place = Place(
        node=f"{first}+{nodes}*$(JOB_INDEX)+$(JOB_COMPLETION_INDEX)",
        master=_leader(name, jobs),
        instance=str(instance),
        by_host=by_host(job),
        indices=(field_ref("JOB_INDEX", f"metadata.labels['{INDEX}']"),),
    )
    spec = pod.spec(job, options, container(CONTAINER, job, place, instance), plan, instance, claim(name, job))
    placed = kueue.placement(job, options.topology)
    return {
        "name": child,
        "replicas": replicas,
        "template": {
            "spec": {
                "completionMode": "Indexed",
                "completions": nodes,
                "parallelism": nodes,
                "backoffLimit": 0,
                "activeDeadlineSeconds": job.time_limit_s,
                "podFailurePolicy": failure.of_pods(),
                "template": pod.template(spec, job, placed.annotations() if placed else None),
            }
        },
    }


def _exclusive(job: Job, options: Options) -> str | None:
    wanted = options.topology is None if options.exclusive is None else options.exclusive
    return topology.exclusive(job) if wanted else None


def order(job: Job, options: Options) -> Problem | None:
    own = _own_domains(job) if _exclusive(job, options) else None
    alone = _own_domains(job) if topology.unnamed(job) else None
    return kueue.order(job, options.topology, "a JobSet's pod index", "jobset", alone=alone, own=own)


def _own_domains(job: Job) -> Ties:
    """Each child Job has a domain of the smallest level to itself."""
    level = topology.smallest(job)
    runs = [tuple(n for count, n in topology.shape(job, i) for _ in range(count)) for i in range(job.instances)]
    return lambda instance: [] if level is None else [Tie(level, runs[instance])]


def gang(job: Job, options: Options) -> Problem | None:
    if job.nodes == 1 or options.queue is not None:
        return None
    return Problem(
        "nothing starts a JobSet's pods all or none: two jobs may each hold half of the nodes",
        kueue.queue("jobset"),
    )


def own(job: Job, options: Options) -> Iterator[Check]:
    yield from topology.exclusive_check("jobset", wanted=options.exclusive, given=_exclusive(job, options))


TARGET = Controller("jobset", Options, objects, order, gang, first, leaders, own=own).target()
