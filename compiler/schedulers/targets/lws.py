"""`scheduler=lws`: one LeaderWorkerSet, a group of pods for each instance. It serves: what ends is started again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from compiler.checks import Check, check
from compiler.errors import Problem
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import kueue, names, pod, topology
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import Place, container, field_ref
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, metadata
from compiler.schedulers.kubernetes.options import Queued

CONTAINER = "ranks"
PREFIX = "leaderworkerset.sigs.k8s.io/"


@dataclass(frozen=True)
class Options(Queued):
    """`exclusive` gives each group (or each of its domains) a domain to itself, where the site names its label."""

    exclusive: Optional[bool] = None


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    budget = names.lws(job.instances, kueue=options.queue is not None)
    (name,) = names.each(job.name, 1, budget)
    exclusive, parts = _exclusive(job, options), _parts(job, options)
    key = "subgroup-exclusive-topology" if parts else "exclusive-topology"
    annotations = {} if exclusive is None else {PREFIX + key: exclusive}
    queued = kueue.labels(options.queue, options.queue_priority)
    document = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": metadata(name, job, options, labels=queued, annotations=annotations),
        "spec": {
            "replicas": job.instances,
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"partition": 0, "maxUnavailable": 1, "maxSurge": 0},
            },
            "leaderWorkerTemplate": {
                "size": job.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                **({"subGroupPolicy": {"subGroupSize": parts}} if parts else {}),
                **_templates(name, job, options, plan),
            },
        },
    }
    return [*domains(name, job.nodes * job.instances, job, options), document]


def _templates(name: str, job: Job, options: Options, plan: Node) -> Node:
    """Leader and workers are the same pod; two sets of pods to Kueue, which places them as one by a group's name."""
    place = Place(
        node="$(LWS_WORKER_INDEX)",
        master="$(LWS_LEADER_ADDRESS)",
        instance="$(GROUP_INDEX)",
        indices=(field_ref("GROUP_INDEX", f"metadata.labels['{PREFIX}group-index']"),),
    )
    ranks = container(CONTAINER, job, place, 0, ["--stay"])
    spec = pod.spec(job, options, ranks, plan, None, claim(name, job), restartPolicy="Always")
    placed = kueue.placement(job, options.topology, slices=False)
    template = pod.template(spec, job, None if placed is None else placed.annotations(group=name))
    return {"workerTemplate": template, **({} if placed is None else {"leaderTemplate": template})}


def _exclusive(job: Job, options: Options) -> str | None:
    """The label whose domains a group's parts have to themselves; parts are of one size, and not of one pod."""
    wanted = options.topology is None if options.exclusive is None else options.exclusive
    return topology.exclusive(job) if wanted and (_domain(job) or 0) > 1 else None


def _parts(job: Job, options: Options) -> int | None:
    """Nodes of each domain within a group, where a group has several that are its own."""
    size = _domain(job)
    return size if _exclusive(job, options) is not None and size is not None and size < job.nodes else None


def _domain(job: Job) -> int | None:
    level = topology.smallest(job)
    return None if level is None else topology.equal_runs(job, level)


def order(job: Job, options: Options) -> Problem | None:
    if _exclusive(job, options):
        return None
    placed, level = kueue.placement(job, options.topology, slices=False), topology.smallest(job)
    if placed is not None and placed.level.name == "pod":
        return Problem(
            "Kueue takes no slices in a group of leader and workers, so nothing ties a leaf of the plan to one",
            "write scheduler.lws.exclusive=true and no topology",
        )
    if placed is None and level is not None and level.key is not None and job.nodes > 1:
        return Problem(
            "parts of a LeaderWorkerSet are of one size and in domains of their own, and the plan's are not",
            "plan whole domains, or write scheduler=jobset",
        )
    return kueue.order(job, options.topology, "a LeaderWorkerSet's worker index", "lws", exclusive=True)


def gang(job: Job, options: Options) -> Problem | None:
    if job.nodes == 1 or options.queue is not None:
        return None
    return Problem(
        "nothing starts a group's pods all or none: two groups may each hold half of the nodes",
        "write scheduler.lws.queue=LOCALQUEUE, a queue of Kueue",
    )


def own(job: Job, options: Options) -> Iterator[Check]:
    yield from topology.exclusive_check("lws", wanted=options.exclusive, given=_exclusive(job, options))
    if job.site.kubernetes.host_network and job.ranks_per_node < job.gpus_per_node:
        yield check(
            "ports",
            job.instances == 1,
            job.instances,
            1,
            f"{job.instances} instances share nodes and, by site.kubernetes.host_network, their ports; a LeaderWorkerSet gives all the same",
            "write scheduler=jobset, or instances of whole nodes",
        )
    if job.world.config.workload.train:
        ignored = f"neither max_restarts={job.max_restarts} nor time_limit={job.time_limit} holds"
        yield check(
            "lws-serves",
            False,
            "train",
            "serve",
            f"a LeaderWorkerSet never ends: its pods stay when their ranks have ended, and {ignored}",
            "write scheduler=jobset",
            otherwise="warn",
        )


TARGET = Controller("lws", Options, objects, order, gang, own).target()
