"""What a plan cannot count on when Kubernetes starts it, said as warnings: order, gangs, locked memory, images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, Status, check, warned
from compiler.errors import Problem
from compiler.schedulers.job import Job, Jobs
from compiler.schedulers.kubernetes import kueue, objects
from compiler.schedulers.kubernetes.options import Queued

RDMA = "rdma/ib"
"""What a fix calls the resource of a device plugin, whose name only the site knows."""


def promises(target: str, job: Job, order: Problem | None, gang: Problem | None) -> Iterator[Check]:
    """`order` and `gang` are what a controller does not promise; None where it does."""
    if job.nodes > 1:
        yield _promised("order-unproven", target, order, "a pod's index has its place in the plan's topology")
        yield _promised("gang", target, gang, "pods start, and start again, all or none")


def hosts(target: str, job: Job, kept: bool) -> Iterator[Check]:
    """Whether a rank runs on the host that the plan gives it: nothing else says which pod lands on which node."""
    if job.hosts and job.nodes * job.instances > 1:
        yield check(
            "pinned-hosts",
            holds=kept,
            observed=target,
            limit="pods take the slots of their nodes",
            message=f"pods run on the plan's hosts, and scheduler={target} does not say which of them is which slot"
            + ("" if objects.role(job) is None else ": pools find rank 0 of each other by the number of its pod"),
            fix="write hardware.pin=false, so that no host is promised"
            + (" or scheduler=jobset" if objects.role(job) is None else ""),
            otherwise=Status.WARN,
        )


def ports(jobs: Jobs) -> Iterator[Check]:
    """Instances of one pool have ports of their own; those of two pools count from the same."""
    shared = [role for role, job in jobs.parts if job.ranks_per_node < job.gpus_per_node]
    if any(job.site.kubernetes.host_network for _, job in jobs.parts):
        yield check(
            "pools-ports",
            holds=len(shared) < len(jobs.parts),
            observed=" and ".join(shared) or "none",
            limit="one pool at most",
            message="pods of both pools may share a node and, by site.kubernetes.host_network, its ports",
            fix="write site.kubernetes.host_network=false, or instances of whole nodes in one of the pools",
        )


def _promised(name: str, target: str, missing: Problem | None, kept: str) -> Check:
    found = missing or Problem(kept, "")
    return check(
        name,
        holds=missing is None,
        observed=target,
        limit=kept,
        message=found.what,
        fix=found.instead,
        otherwise=Status.WARN,
    )


def of_job(target: str, job: Job, options: Any, *, mpi: bool) -> Iterator[Check]:
    """What holds for every controller."""
    yield from _image(job)
    yield from _memory(job)
    yield from _network(job)
    yield from _numa(job)
    yield from _spares(job, target)
    yield from _spans(job, target)
    if job.mpi is not None and not mpi:
        yield check(
            "mpi",
            holds=job.world_size == 1,
            observed=target,
            limit="mpijob",
            message=f"ranks find each other by MPI (srun --mpi={job.mpi}), which scheduler={target} does not start",
            fix="write scheduler=mpijob",
            otherwise=Status.WARN,
        )
    if mpi and job.launch.preflight.bandwidth_command:
        yield warned(
            "preflight",
            observed=target,
            limit="a controller that starts ranks itself",
            message="launch.preflight.bandwidth_command does not run under scheduler=mpijob, whose workers wait for MPI alone",
            fix="run it at the start of launch.command, or use scheduler=jobset",
        )
    if isinstance(options, Queued):
        yield from kueue.checks(job, options, target)


def _image(job: Job) -> Iterator[Check]:
    """The image of a plan that names none holds Python and nothing beside it."""
    if job.launch.image is not None:
        return
    framework, own = job.world.config.framework.name, job.launch.command is not None
    has, holding = "enough for the self-check", ""
    if job.command:
        missing = "nothing beside Python for launch.command" if own else f"no {framework}, so that the job cannot run"
        has, holding = (
            f"which has {missing}",
            " with what launch.command runs in it" if own else f" with {framework} in it",
        )
    yield warned(
        "image",
        observed="default",
        limit="launch.image",
        message=f"launch.image is not given: pods run a slim Python image, {has}",
        fix=f"write launch.image=REGISTRY/IMAGE{holding}",
    )


def _memory(job: Job) -> Iterator[Check]:
    """RDMA locks memory: a right that only root has of itself, and that a container may not pass on."""
    site = job.site.kubernetes
    if site.rdma_resource is not None:
        locks, root = "IPC_LOCK" in site.capabilities, not site.run_as_user
        yield check(
            "memlock",
            holds=locks and root,
            observed=f"capabilities {site.capabilities}, user {site.run_as_user or 'of the image'}",
            limit="IPC_LOCK as root",
            message="the capability IPC_LOCK does nothing for a user who is not root, and NCCL may fall back to TCP"
            if locks
            else f"pods use {site.rdma_resource} without IPC_LOCK, and NCCL may fall back to TCP where memory cannot be locked",
            fix="have the container runtime's memlock limit lifted, and set NCCL_NET=IB so that it fails instead"
            if locks
            else "write site.kubernetes.capabilities=[IPC_LOCK]",
            otherwise=Status.WARN,
        )
    if site.memory_per_gpu_bytes is not None:
        total = site.memory_per_gpu_bytes * job.ranks_per_node
        yield check(
            "shm",
            holds=site.shm_bytes < total,
            observed=site.shm_bytes,
            limit=total,
            message=f"site.kubernetes.shm_bytes={site.shm_bytes} counts as memory of a pod, which has {total}",
            fix="write a smaller site.kubernetes.shm_bytes, or more memory_per_gpu_bytes",
        )


def _numa(job: Job) -> Iterator[Check]:
    """numactl, by which vLLM starts its workers, ends them where it may not choose where memory lies."""
    if "--numa-bind" in job.command:
        yield check(
            "numa",
            holds="SYS_NICE" in job.site.kubernetes.capabilities and not job.site.kubernetes.run_as_user,
            observed=f"capabilities {job.site.kubernetes.capabilities}",
            limit="SYS_NICE as root",
            message="workers are bound to the NUMA nodes of site.numa, which a pod without the capability SYS_NICE may not do",
            fix="add SYS_NICE to site.kubernetes.capabilities, or --no-numa-bind to framework.args",
            otherwise=Status.WARN,
        )


def _network(job: Job) -> Iterator[Check]:
    """Pods see no card of the fabric unless they ask for one, and then NCCL takes TCP without a word.

    A site joins pods to networks by annotations too (GKE); within one NVLink domain nothing leaves it.
    """
    hardware, site = job.world.config.hardware, job.site.kubernetes
    leaves = len(set(job.world.slots.domain.tolist())) > 1 and (job.nodes > 1 or job.world.config.workload.role)
    if not leaves or not hardware.nic.per_node:
        return
    given = site.rdma_resource is not None or site.host_network
    given = given or any("network" in name for name in site.pod_annotations)
    cards = f"{hardware.nic.per_node} cards of {hardware.nic.bandwidth / 1e9:.4g} GB/s"
    yield check(
        "rdma",
        holds=given,
        observed="none",
        limit="site.kubernetes.rdma_resource",
        message=f"time is projected with {cards} a node, and pods ask for no RDMA device and no host network: NCCL would run over TCP",
        fix=f"for a device plugin's {RDMA}, write site.kubernetes.rdma_resource={RDMA} site.kubernetes.capabilities=[IPC_LOCK]",
        otherwise=Status.WARN,
    )


def _spares(job: Job, target: str) -> Iterator[Check]:
    if job.launch.spare_nodes:
        yield warned(
            "spares",
            observed=job.launch.spare_nodes,
            limit=0,
            message=f"launch.spare_nodes={job.launch.spare_nodes} has no effect under scheduler={target}, which takes any node for a lost one",
            fix="leave it out for Kubernetes",
        )


def _spans(job: Job, target: str) -> Iterator[Check]:
    if job.launch.spans == "require":
        yield warned(
            "spans-required",
            observed="require",
            limit="warn",
            message=f"launch.spans=require has no effect under scheduler={target}: no pod knows which switches its node hangs on",
            fix="pin the plan, or ask for topology-aware scheduling; and leave launch.spans out for Kubernetes",
        )
