"""`scheduler=volcano`: a Volcano Job for each instance, whose scheduler starts all of its pods or none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from compiler.checks import Check, check
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import names, pod, topology
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import Place, container
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.failure import NEVER_RETRIED
from compiler.schedulers.kubernetes.objects import Node, by_host, metadata
from compiler.schedulers.kubernetes.options import Pods
from compiler.schedulers.kubernetes.order import Tie, Ties, loose, verdict
from compiler.specs.fields import between, quantity
from compiler.specs.limits import INT32

TASK = "node"
CONTAINER = "ranks"


@dataclass(frozen=True)
class Options(Pods):
    """Of Volcano Jobs."""

    queue: Optional[str] = None
    """A Volcano queue."""
    tier: Optional[int] = between(1, 64, None)
    """The HyperNode tier that must hold an instance."""
    domain_tier: Optional[int] = between(1, 64, None)
    """The HyperNode tier that must hold each of its domains."""
    ttl_s: Optional[int] = quantity("s", (0, INT32), (1, 1e8), None)
    """How long a finished Job is kept."""


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    found = []
    for instance, name in enumerate(_named(job)):
        found += domains(name, job, options)
        found.append(_job(name, instance, job, options, plan))
    return found


def leaders(job: Job, _: Options) -> list[str]:
    """Where rank 0 of each instance is."""
    return [_leader(name) for name in _named(job)]


def first(job: Job, _: Options, instance: int | None) -> Node:
    own = {} if instance is None else {"volcano.sh/job-name": _named(job)[instance]}
    return {"volcano.sh/task-index": "0", **own}


def _named(job: Job) -> tuple[str, ...]:
    return names.each(job.name, job.instances, names.volcano(TASK, job.nodes))


def _leader(name: str) -> str:
    return f"{name}-{TASK}-0.{name}"


def _job(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    optional = {
        "queue": options.queue,
        "ttlSecondsAfterFinished": options.ttl_s,
        "networkTopology": _hard(options.tier),
    }
    return {
        "apiVersion": "batch.volcano.sh/v1alpha1",
        "kind": "Job",
        "metadata": metadata(name, job, options),
        "spec": {
            "schedulerName": "volcano",
            "minAvailable": job.nodes,
            "maxRetry": job.launch.max_restarts + 1,  # Volcano fails a job when its restarts reach it
            **{key: value for key, value in optional.items() if value is not None},
            "plugins": {"env": [], "svc": ["--publish-not-ready-addresses=true"]},
            "policies": _policies(),
            "tasks": [_task(name, instance, job, options, plan)],
        },
    }


def _hard(tier: int | None) -> Node | None:
    return None if tier is None else {"mode": "hard", "highestTierAllowed": tier}


def _policies() -> list[Node]:
    """The first that matches holds, so codes that would only come again stand before the restart of all others."""
    codes = [{"exitCode": code, "action": "AbortJob"} for code in NEVER_RETRIED]
    events = [{"event": event, "action": "RestartJob"} for event in ("PodFailed", "PodEvicted")]
    return [*codes, *events, {"event": "TaskCompleted", "action": "CompleteJob"}]


def _task(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    """The index is appended to the environment, where arguments see it and other variables do not."""
    place = Place(node="$(VC_TASK_INDEX)", master=_leader(name), instance=str(instance), by_host=by_host(job))
    spec = pod.spec(
        job,
        options,
        container(CONTAINER, job, place, instance),
        plan,
        instance,
        claim(name, job),
        activeDeadlineSeconds=job.time_limit_s,
    )
    size = _partition(job, options)
    partition = {
        "totalPartitions": 0 if size is None else job.nodes // size,
        "partitionSize": size,
        "minPartitions": 0 if size is None else job.nodes // size,
        "networkTopology": _hard(options.domain_tier),
    }
    return {
        "name": TASK,
        "replicas": job.nodes,
        "minAvailable": job.nodes,
        **({} if size is None else {"partitionPolicy": partition}),
        "template": pod.template(spec, job),
    }


def _partition(job: Job, options: Options) -> int | None:
    """Pods of each of the plan's domains, where they are of one size and the cluster is told to keep them together."""
    level = topology.smallest(job)
    return None if level is None or options.domain_tier is None else topology.equal_runs(job, level)


def order(job: Job, options: Options) -> Problem | None:
    wanted = [f"scheduler.volcano.{key}=TIER" for key in _tiers(job) if getattr(options, key) is None]
    says = "the HyperNode tier of a leaf (or of an NVLink domain), and of what holds an instance"
    fixes = [f"write {' '.join(wanted)}, {says}"] if wanted and loose(job, _ties(job, 1, 1)) is None else []
    return verdict(job, "a Volcano task's index", _ties(job, options.tier, options.domain_tier), fixes)


def _ties(job: Job, tier: int | None, domain_tier: int | None) -> Ties:
    """A tier that must hold an instance is that of the smallest level that does in the plan."""
    known = topology.levels(job)
    holding = next((level for level in known if topology.holds(level, job)), None)
    level = topology.smallest(job)
    size = None if level is None or domain_tier is None else topology.equal_runs(job, level)
    found = [Tie(holding, (job.nodes,))] if tier is not None and holding is not None else []
    found += [] if size is None or level is None else [Tie(level, (size,) * (job.nodes // size))]
    return lambda _: found


def _tiers(job: Job) -> list[str]:
    """Options that tie the plan's levels: one for the whole, and one for its parts where it has several."""
    level = topology.smallest(job)
    return ["tier"] + ["domain_tier"] * (level is not None and not topology.holds(level, job))


def gang(_job: Job, _options: Options) -> Problem | None:
    """All pods or none is what minAvailable says, and RestartJob starts all of them again."""
    return None


def own(job: Job, options: Options) -> Iterator[Check]:
    if options.domain_tier is not None:
        yield check(
            "volcano-domains",
            holds=_partition(job, options) is not None,
            observed=_partition(job, options),
            limit="domains of one size",
            message="scheduler.volcano.domain_tier cuts the pods into parts of one size, which the plan's domains are not",
            fix="plan whole leaves (hardware.fabric.nodes_per_leaf), or leave domain_tier out",
        )


TARGET = Controller("volcano", Options, objects, order, gang, first, leaders, own=own).target()
