"""`scheduler=lws`: one LeaderWorkerSet, a group of pods for each instance; of pools, one DisaggregatedSet.

It serves: what ends is started again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from compiler.checks import Check, check, warned
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import disaggregated, kueue, leader_worker, names, topology
from compiler.schedulers.kubernetes.compute_domain import domains
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, metadata, role
from compiler.schedulers.kubernetes.options import Queued


@dataclass(frozen=True)
class Options(Queued):
    """Of LeaderWorkerSets. Pools that one domain holds are kept together in it, and with `exclusive` no other set comes there."""

    exclusive: Optional[bool] = None
    """Each group (or each of its domains) has a domain to itself, where the site names its label."""


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    (name,) = names.each(job.name, 1, names.lws(job.instances, kueue=options.queue is not None))
    queued, alone = kueue.labels(options.queue, options.queue_priority), leader_worker.exclusive(job, options)
    annotations = leader_worker.placed(job, alone)
    document = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata(name, job, options, labels=queued, annotations=annotations),
        "spec": leader_worker.spec(name, job, options, plan, alone),
    }
    return [*domains(name, job, options), document]


def order(job: Job, options: Options) -> Problem | None:
    return leader_worker.order(job, options, leader_worker.ties(job, options))


def gang(job: Job, options: Options) -> Problem | None:
    """A set of one group has none that it could wait for; with pools there are two sets at least."""
    alone = job.instances == 1 and role(job) is None
    if job.nodes == 1 or alone or options.queue is not None:
        return None
    return Problem(
        "nothing starts a group's pods all or none: two groups may each hold half of the nodes",
        kueue.queue("lws"),
    )


def own(job: Job, options: Options) -> Iterator[Check]:
    yield from topology.exclusive_check("lws", wanted=options.exclusive, given=leader_worker.exclusive(job, options))
    if job.site.kubernetes.host_network and job.ranks_per_node < job.gpus_per_node:
        yield check(
            "ports",
            holds=job.instances == 1,
            observed=job.instances,
            limit=1,
            message=f"{job.instances} instances share nodes and, by site.kubernetes.host_network, their ports; a LeaderWorkerSet gives all the same",
            fix="write scheduler=jobset, or instances of whole nodes",
        )
    if job.world.config.workload.train:
        ignored = f"neither max_restarts={job.launch.max_restarts} nor time_limit={job.launch.time_limit} holds"
        yield warned(
            "lws-serves",
            observed="train",
            limit="serve",
            message=f"a LeaderWorkerSet never ends: its pods stay when their ranks have ended, and {ignored}",
            fix="write scheduler=jobset",
        )


TARGET = Controller(
    "lws",
    Options,
    objects,
    order,
    gang,
    leader_worker.first,
    by_host=leader_worker.by_host,
    own=own,
    pools=disaggregated.together(own),
).target()
