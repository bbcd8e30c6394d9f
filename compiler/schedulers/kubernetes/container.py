"""The container that runs one node's ranks: its program, environment, devices and rights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from compiler.frozen import dataclass
from compiler.schedulers import runtime_files
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import serving
from compiler.schedulers.kubernetes.objects import Node, role
from compiler.specs.site import KubernetesSite

PLAN = "/etc/rankplan"
ENDPOINTS = "endpoints"
"""Where rank 0 of every instance of both pools is, a line each: role, instance, address, port."""
PORT = 29500
GRACE_S = 30
CPUS_PER_GPU, MEMORY_PER_GPU_BYTES = 4, 16 * 2**30
"""What a pod asks for where the site says nothing: less than any server of GPUs has."""
LAUNCHER = {"requests": {"cpu": "1", "memory": str(2**30)}}
"""What a program asks for that starts others and has no GPUs."""
DEFAULT_IMAGE = "python:3.12-slim"
COMPUTE_DOMAIN = "compute-domain"


@dataclass(frozen=True)
class Place:
    """How a pod knows which node slot it is: `node` is a sum of products of its controller's indices.

    `indices` are variables that the manifest must declare before they are used; `instance` and `master` may use them.
    With `by_host` the slot is that of the pod's node in a pinned plan, and `node` only numbers the pod.
    """

    node: str
    master: str
    instance: str
    indices: tuple[Node, ...] = field(default=())
    by_host: bool = False


def literal(value: str) -> str:
    """Kubernetes expands $(NAME) in values and arguments, and reads $$ as $."""
    return value.replace("$", "$$")


def field_ref(name: str, path: str) -> Node:
    """A variable that the pod reads off its own labels or annotations."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def shares(job: Job) -> bool:
    """Whether several instances fit on a node, and count its ports from each other."""
    return job.ranks_per_node < job.gpus_per_node


def port(job: Job, instance: int) -> int:
    """Instances that share a node share its ports, where pods have no network of their own."""
    return PORT + instance if job.site.kubernetes.host_network else PORT


def container(name: str, job: Job, place: Place, instance: int, options: Sequence[str] = ()) -> Node:
    """The container of a pod whose ranks are started by spawn.py."""
    start = program(job, "spawn.py", f"--node={place.node}", *options)
    return {
        "name": name,
        "image": job.launch.image or DEFAULT_IMAGE,
        "command": start,
        "env": environment(job, place, port(job, instance)),
        "ports": [{"name": "master", "containerPort": port(job, instance)}, *serving.container_port(job, instance)],
        **readiness(job, place),
        "resources": resources(job),
        **security(job.site.kubernetes),
        "volumeMounts": volume_mounts(job),
    }


def readiness(job: Job, place: Place) -> Node:
    """A server is ready when it has loaded its model: for a Service, and for a rollout, which goes on only then.

    The kubelet puts values into a probe's command too, but empty ones for what it reads off labels: names stand alone.
    """
    if not serving.ports(job):
        return {}
    command = program(job, "ready.py", "--node=" + place.node.replace("$(", "").replace(")", ""))
    return {"readinessProbe": {"exec": {"command": command}, "periodSeconds": 10, "timeoutSeconds": 10}}


def preflight(job: Job, ranks: Node) -> list[Node]:
    """Runs before `ranks` with its devices and values: an unfit node ends the pod by the self-check's exit codes."""
    if not job.launch.preflight.enabled:
        return []
    same = ("image", "env", "resources", "securityContext", "volumeMounts")
    command = program(job, "preflight.py", "--pod")
    return [{"name": "preflight", "command": command, **{key: ranks[key] for key in same}}]


def program(job: Job, name: str, *arguments: str) -> list[str]:
    """One of ours, as its process 1: signals reach it. $(NAME) in `arguments` is expanded."""
    return [literal(job.launch.python), "-I", "-S", f"{PLAN}/runtime/{name}", *arguments]


def environment(job: Job, place: Place, master_port: int) -> list[Node]:
    """The user's values first, which nothing of ours may be used in; indices before what is made of them."""
    values: list[Node] = [{"name": name, "value": literal(value)} for name, value in job.environment]
    secrets: list[Node] = [
        {"name": secret.name, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}
        for secret in job.secrets
        if secret.secret
    ]
    own = {
        "MASTER_ADDR": place.master,
        "MASTER_PORT": str(master_port),
        "RANKPLAN_DIGEST": runtime_files.digest(runtime_files.launch_json(job)),
        "RANKPLAN_GRACE_S": str(grace_s(job)),
        "RANKPLAN_INSTANCE": place.instance,
        "RANKPLAN_PLAN": PLAN,
        **({} if role(job) is None else {"RANKPLAN_ENDPOINTS": f"{PLAN}/{ENDPOINTS}"}),
        **({"RANKPLAN_BY_HOST": "1"} if place.by_host else {}),
        **({} if job.site.kubernetes.host_network or not shares(job) else {"RANKPLAN_OWN_NETWORK": "1"}),
    }
    written = [{"name": name, "value": value} for name, value in own.items()]
    return [*values, *secrets, *place.indices, field_ref("NODE_NAME", "spec.nodeName"), *written]


def grace_s(job: Job) -> int:
    """Seconds that a rank has to write its checkpoint after SIGTERM."""
    return max(job.launch.checkpoint_signal_s, GRACE_S)


def resources(job: Job) -> Node:
    """Devices have requests equal to limits; of a node's, a pod takes the share that its GPUs are.

    Where the site says nothing of CPUs and memory a pod asks for little, and is not limited: one that asks for none
    counts nothing to the scheduler, and is the first to go when a node runs short.
    """
    site, gpus = job.site.kubernetes, job.ranks_per_node
    amounts: Node = {site.gpu_resource: str(gpus)}
    if site.rdma_resource is not None:
        amounts[site.rdma_resource] = str(max(1, site.rdma_per_node * gpus // job.gpus_per_node))
    if site.cpus_per_gpu is not None:
        amounts["cpu"] = str(site.cpus_per_gpu * gpus)
    if site.memory_per_gpu_bytes is not None:
        amounts["memory"] = str(site.memory_per_gpu_bytes * gpus)
    least = {"cpu": str(CPUS_PER_GPU * gpus), "memory": str(MEMORY_PER_GPU_BYTES * gpus)}
    if site.hugepages_bytes is not None:
        amounts["hugepages-2Mi"] = str(site.hugepages_bytes * gpus // job.gpus_per_node // 2**21 * 2**21)
    claims = {"claims": [{"name": COMPUTE_DOMAIN}]} if site.compute_domain else {}
    return {"limits": amounts, "requests": {**least, **amounts}, **claims}


def security(site: KubernetesSite) -> Node:
    """No new rights; somebody who is not root has none to begin with, so nothing is lost by dropping them all."""
    drop = {"drop": ["ALL"]} if site.run_as_user else {}
    add = {"add": list(site.capabilities)} if site.capabilities else {}
    found: Node = {"allowPrivilegeEscalation": False}
    if drop or add:
        found["capabilities"] = {**drop, **add}
    if site.read_only_root:
        found["readOnlyRootFilesystem"] = True
    return {"securityContext": found}


def volume_mounts(job: Job) -> list[Node]:
    return list(_volume_mounts(job))


def _volume_mounts(job: Job) -> Iterator[Node]:
    yield {"name": "plan", "mountPath": PLAN, "readOnly": True}
    yield {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - where NCCL looks
    if job.site.kubernetes.read_only_root:
        yield {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - where programs write
    for index, mount in enumerate(job.mounts):
        yield {"name": f"mount-{index}", "mountPath": mount.target, "readOnly": mount.read_only}
