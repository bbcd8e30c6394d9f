"""`scheduler=mpijob`: an MPIJob for each instance, whose launcher starts the ranks by Open MPI in the plan's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Optional

from compiler.checks import Check, warned
from compiler.errors import Problem
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import kueue, names, pod, serving
from compiler.schedulers.kubernetes.compute_domain import claim, domains
from compiler.schedulers.kubernetes.container import (
    DEFAULT_IMAGE,
    LAUNCHER,
    Place,
    environment,
    field_ref,
    literal,
    port,
    program,
    resources,
    security,
    volume_mounts,
)
from compiler.schedulers.kubernetes.controller import Controller
from compiler.schedulers.kubernetes.objects import Node, by_host, metadata
from compiler.schedulers.kubernetes.options import Queued
from compiler.specs.fields import between, quantity
from compiler.specs.limits import INT32

CONTAINER = "ranks"
PREFIX = "training.kubeflow.org/"
WORKERS = {f"{PREFIX}job-role": "worker"}
"""What the launcher's pod has not."""


@dataclass(frozen=True)
class Options(Queued):
    """What the image has, of MPIJobs."""

    sshd: list[str] = field(default_factory=lambda: ["/usr/sbin/sshd", "-De"])
    """What the image's workers run."""
    ssh_port: int = between(1, 65535, 22)
    """Its port."""
    ssh_auth_mount_path: Optional[str] = None
    """Where the image's user looks for keys; the operator's default where it is null."""
    mpirun: list[str] = field(default_factory=lambda: ["mpirun", "--bind-to", "none"])
    """Open MPI, and options of your own."""
    ttl_s: Optional[int] = quantity("s", (0, INT32), (1, 1e8), None)
    """How long a finished job is kept."""


def objects(job: Job, options: Options, plan: Node) -> list[Node]:
    found = []
    for instance, name in enumerate(_named(job)):
        found += domains(name, job, options)
        found.append(_mpijob(name, instance, job, options, plan))
    return found


def leaders(job: Job, _: Options) -> list[str]:
    """Where rank 0 of each instance is."""
    return [_workers(name) % 0 for name in _named(job)]


def first(job: Job, _: Options, instance: int | None) -> Node:
    own = {} if instance is None else {f"{PREFIX}job-name": _named(job)[instance]}
    return {**WORKERS, f"{PREFIX}replica-index": "0", **own}


def _named(job: Job) -> tuple[str, ...]:
    return names.each(job.name, job.instances, names.mpijob(job.nodes))


def _workers(name: str) -> str:
    """Host names, with %d for the slot."""
    return f"{name}-worker-%d.{name}"


def _mpijob(name: str, instance: int, job: Job, options: Options, plan: Node) -> Node:
    ttl = {} if options.ttl_s is None else {"ttlSecondsAfterFinished": options.ttl_s}
    keys = {} if options.ssh_auth_mount_path is None else {"sshAuthMountPath": options.ssh_auth_mount_path}
    launcher = pod.spec(job, options, _launcher(name, instance, job, options), plan, None, None, looked_at=False)
    for where in ("nodeSelector", "affinity"):
        launcher.pop(where, None)
    worker = pod.spec(job, options, _worker(instance, job, options), plan, instance, claim(name, job), looked_at=False)
    placed = kueue.placement(job, options.topology)
    workers = pod.template(worker, job, placed.annotations() if placed else None)
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "metadata": metadata(name, job, options, labels=kueue.labels(options.queue, options.queue_priority)),
        "spec": {
            "mpiImplementation": "OpenMPI",
            "slotsPerWorker": job.tasks_per_node,
            **keys,
            "launcherCreationPolicy": "WaitForWorkersReady",
            "runPolicy": {
                "cleanPodPolicy": "Running",
                "backoffLimit": 0,
                "activeDeadlineSeconds": job.time_limit_s,
                **ttl,
                "schedulingPolicy": {"minAvailable": job.nodes + 1},
            },
            "mpiReplicaSpecs": {
                "Launcher": {"replicas": 1, "restartPolicy": "Never", "template": pod.template(launcher, job)},
                "Worker": {"replicas": job.nodes, "restartPolicy": "Never", "template": workers},
            },
        },
    }


def _launcher(name: str, instance: int, job: Job, options: Options) -> Node:
    """It has no GPUs; it starts the gang, and starts it again as a whole."""
    workers = _workers(name)
    place = Place(node="", master=workers % 0, instance=str(instance), by_host=follows(job))
    own = {
        "RANKPLAN_MAX_RESTARTS": str(job.launch.max_restarts),
        "RANKPLAN_SECRETS": " ".join(secret.name for secret in job.secrets if secret.secret),
        "RANKPLAN_WORKERS": workers,
    }
    return {
        "name": CONTAINER,
        "image": job.launch.image or DEFAULT_IMAGE,
        "command": program(job, "mpi.py", *map(literal, options.mpirun)),
        "env": [
            *environment(job, place, port(job, instance)),
            *({"name": key, "value": value} for key, value in own.items()),
        ],
        "resources": LAUNCHER,
        **security(job.site.kubernetes),
        "volumeMounts": volume_mounts(job),
    }


def follows(job: Job) -> bool:
    """Whether workers take the slots of their nodes: a server's Service finds it by its worker's number."""
    return by_host(job) and job.http_port is None


def _worker(instance: int, job: Job, options: Options) -> Node:
    """Waits for MPI, which starts its ranks as of a login: with what mpirun passes on, and nothing of a pod's environment."""
    return {
        "name": CONTAINER,
        "image": job.launch.image or DEFAULT_IMAGE,
        "command": list(map(literal, options.sshd)),
        **({"env": [field_ref("NODE_NAME", "spec.nodeName")]} if follows(job) else {}),
        "ports": [{"name": "ssh", "containerPort": options.ssh_port}, *serving.container_port(job, instance)],
        "readinessProbe": {"tcpSocket": {"port": options.ssh_port}, "periodSeconds": 5},
        "resources": resources(job),
        **security(job.site.kubernetes),
        "volumeMounts": volume_mounts(job),
    }


def order(job: Job, options: Options) -> Problem | None:
    return kueue.order(job, options.topology, "an MPIJob's worker index", "mpijob")


def gang(job: Job, options: Options) -> Problem | None:
    if job.nodes == 1 or options.queue is not None:
        return None
    return Problem(
        "an MPIJob's workers start all or none only where its operator runs with --gang-scheduling",
        f"have that, or {kueue.queue('mpijob')}",
    )


def own(job: Job, _: Options) -> Iterator[Check]:
    if serving.ports(job):
        yield warned(
            "http-readiness",
            observed="sshd's",
            limit="the server's",
            message="a worker is ready when MPI can start on it, so the Service leads to a server that may not have loaded its model",
            fix="have clients wait for /health, or write scheduler=jobset where one node holds an instance",
        )


TARGET = Controller("mpijob", Options, objects, order, gang, first, leaders, WORKERS, follows, own, mpi=True).target()
