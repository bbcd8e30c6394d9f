"""A DisaggregatedSet: prefill and decode as roles of one object, each a LeaderWorkerSet, and Services by which both find all leaders.

Its controller names a role's LeaderWorkerSet after a hash that only it knows, so each leader has a Service of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compiler.checks import Check
from compiler.errors import Problem
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.kubernetes import kueue, leader_worker, names, topology
from compiler.schedulers.kubernetes.compute_domain import domains
from compiler.schedulers.kubernetes.container import port
from compiler.schedulers.kubernetes.controller import Documents, Together
from compiler.schedulers.kubernetes.objects import INSTANCE, Node, labels, metadata, role, service
from compiler.schedulers.kubernetes.order import Tie


def set_name(jobs: Jobs, options: Any) -> str:
    queued = options.queue is not None
    budget = min(names.disaggregated(own, job.instances, kueue=queued) for own, job in jobs.parts)
    return names.within(names.dns(jobs.name), budget)


def leaders(jobs: Jobs, job: Job, options: Any) -> list[tuple[str, int]]:
    """Names of the Services of a role's leaders, and their port, which all pods of a role share."""
    return [(f"{set_name(jobs, options)}-{role(job)}-{instance}", port(job, 0)) for instance in range(job.instances)]


def objects(jobs: Jobs, options: Any, plans: Mapping[str, Node]) -> Documents:
    name, placed = set_name(jobs, options), placement(jobs, options)
    found: Documents = {(own, "service"): _services(jobs, job, options) for own, job in jobs.parts}
    extra: list[Node] = []
    for own, job in jobs.parts:
        extra += domains(f"{name}-{own}", job, options)
    document = {
        "apiVersion": "disaggregatedset.x-k8s.io/v1",
        "kind": "DisaggregatedSet",
        "metadata": metadata(name, jobs, options),
        "spec": {
            "slices": 1,
            **({} if placed is None else {"placementPolicy": placed}),
            "roles": [_role(f"{name}-{own}", own, jobs, job, options, plans[own]) for own, job in jobs.parts],
        },
    }
    return {**found, ("", "disaggregatedset"): [*extra, document]}


def _role(name: str, own: str, jobs: Jobs, job: Job, options: Any, plan: Node) -> Node:
    """Labels and annotations are those of the LeaderWorkerSet that is made of it: Kueue knows no DisaggregatedSet."""
    alone = exclusive(jobs, job, options)
    given = {
        "labels": {**labels(job), **kueue.labels(options.queue, options.queue_priority)},
        "annotations": leader_worker.placed(job, alone),
    }
    spec = leader_worker.spec(name, job, options, plan, alone)
    del spec["rolloutStrategy"]["rollingUpdateConfiguration"]["partition"]  # roles roll together, by the controller
    return {"name": own, "metadata": {key: value for key, value in given.items() if value}, "spec": spec}


def _services(jobs: Jobs, job: Job, options: Any) -> list[Node]:
    """One for each instance, whose name is that of its leader's pod, whatever its set is called."""
    found = []
    for instance, (name, number) in enumerate(leaders(jobs, job, options)):
        leader = {INSTANCE: labels(job)[INSTANCE], **leader_worker.first(job, options, instance)}
        found.append(service(name, leader, number, job, options))
    return found


def placement(jobs: Jobs, options: Any) -> Node | None:
    """One domain for the whole set, where the plan has one that holds it and the site names its label.

    Not beside groups that have smaller domains to themselves, which the controller refuses, nor where Kueue places.
    """
    level = _around(jobs, options)
    if level is None:
        return None
    return {"type": "ExclusiveTopology" if options.exclusive else "ExclusiveSlice", "topology": level.key}


def _around(jobs: Jobs, options: Any) -> topology.Level | None:
    parts = [job for _, job in jobs.parts]
    if options.topology is not None or options.exclusive is False:
        return None
    level = next((level for level in topology.around(parts) if level.key is not None), None)
    if level is None or _smallest(level, parts[0]):
        return level
    return None if any(leader_worker.exclusive(job, options) for job in parts) else level


def _smallest(level: topology.Level, job: Job) -> bool:
    """Whether nodes within one of its domains are all alike to the plan."""
    return level.name == topology.levels(job)[0].name


def exclusive(jobs: Jobs, job: Job, options: Any) -> str | None:
    """As a LeaderWorkerSet's, where the set as a whole has no domain."""
    return None if placement(jobs, options) is not None else leader_worker.exclusive(job, options)


def order(jobs: Jobs, job: Job, options: Any) -> Problem | None:
    level = _around(jobs, options)
    ties = leader_worker.ties(job, options) if level is None else lambda _: [Tie(level, (job.nodes,))]
    return leader_worker.order(job, options, ties)


def together(own: Callable[[Job, Any], Iterator[Check]]) -> Together:
    """Pools as one set. `own` are a LeaderWorkerSet's checks."""

    def apart(jobs: Jobs, job: Job, options: Any) -> Iterator[Check]:
        placed = placement(jobs, options) is not None
        yield from (item for item in own(job, options) if not (placed and item.id == "exclusive-topology"))

    return Together(leaders, objects, order, apart)
