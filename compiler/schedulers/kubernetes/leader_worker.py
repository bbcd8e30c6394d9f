"""A LeaderWorkerSet's spec: a group of pods for each instance, alone or as a role of a DisaggregatedSet."""

from __future__ import annotations

from typing import Any

from compiler.errors import Problem
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import kueue, objects, pod, topology
from compiler.schedulers.kubernetes.compute_domain import claim
from compiler.schedulers.kubernetes.container import Place, container, field_ref
from compiler.schedulers.kubernetes.objects import Node
from compiler.schedulers.kubernetes.order import Tie, Ties

CONTAINER = "ranks"
PREFIX = "leaderworkerset.sigs.k8s.io/"


def spec(name: str, job: Job, options: Any, plan: Node, exclusive: str | None) -> Node:
    """`exclusive` is the label whose domains its groups, or their parts, have to themselves."""
    size = parts(job, exclusive)
    return {
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
            **({} if size is None else {"subGroupPolicy": {"subGroupSize": size}}),
            **_templates(name, job, options, plan),
        },
    }


def _templates(name: str, job: Job, options: Any, plan: Node) -> Node:
    """Leader and workers are the same pod; two sets of pods to Kueue, which places them as one by a group's name."""
    place = Place(
        node="$(LWS_WORKER_INDEX)",
        master="$(LWS_LEADER_ADDRESS)",
        instance="$(GROUP_INDEX)",
        by_host=by_host(job),
        indices=(field_ref("GROUP_INDEX", f"metadata.labels['{PREFIX}group-index']"),),
    )
    ranks = container(CONTAINER, job, place, 0, ["--stay"])
    one = pod.spec(job, options, ranks, plan, None, claim(name, job), restartPolicy="Always")
    placed = kueue.placement(job, options.topology, slices=False)
    template = pod.template(one, job, None if placed is None else placed.annotations(group=name))
    return {"workerTemplate": template, **({} if placed is None else {"leaderTemplate": template})}


def first(_job: Job, _options: Any, instance: int | None) -> Node:
    """Labels of a group's leader."""
    group = {} if instance is None else {f"{PREFIX}group-index": str(instance)}
    return {f"{PREFIX}worker-index": "0", **group}


def placed(job: Job, exclusive: str | None) -> Node:
    """Annotations of the set, for the label whose domains its groups, or their parts, have to themselves."""
    key = "exclusive-topology" if parts(job, exclusive) is None else "subgroup-exclusive-topology"
    return {} if exclusive is None else {PREFIX + key: exclusive}


def exclusive(job: Job, options: Any) -> str | None:
    """The label whose domains a group's parts have to themselves; parts are of one size, and not of one pod."""
    wanted = options.topology is None if options.exclusive is None else options.exclusive
    return topology.exclusive(job) if wanted and (_domain(job) or 0) > 1 else None


def parts(job: Job, exclusive: str | None) -> int | None:
    """Nodes of each domain within a group, where a group has several that are its own."""
    size = _domain(job)
    return size if exclusive is not None and size is not None and size < job.nodes else None


def _domain(job: Job) -> int | None:
    level = topology.smallest(job)
    return None if level is None else topology.equal_runs(job, level)


def by_host(job: Job) -> bool:
    """Groups have one template, and do not know which instance their nodes are for; a group is ready with all of its pods."""
    return job.instances == 1 and job.http_port is None and objects.by_host(job)


def ties(job: Job, options: Any) -> Ties:
    """What holds of a group: its domains are its own, or Kueue places leader and workers as one."""
    return _own_domains(job) if exclusive(job, options) else kueue.ties(job, options.topology, slices=False)


def order(job: Job, options: Any, held: Ties) -> Problem | None:
    """Why a group's index is not tied to places by what is `held`, if it is not."""
    alone = _own_domains(job) if topology.unnamed(job) and (_domain(job) or 0) > 1 else None
    what = "a LeaderWorkerSet's worker index"
    return kueue.order(job, options.topology, what, "lws", slices=False, alone=alone, own=held)


def _own_domains(job: Job) -> Ties:
    """Groups, or their parts of one size, have a domain of the smallest level to themselves."""
    level, size = topology.smallest(job), _domain(job) or 1
    return lambda _: [] if level is None else [Tie(level, (size,) * (job.nodes // size))]
