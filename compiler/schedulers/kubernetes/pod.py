"""The pod that runs one node's ranks, the same for every controller."""

from __future__ import annotations

from typing import Any

from compiler.schedulers import runtime_files
from compiler.schedulers.job import Job

Node = dict[str, Any]

CONTAINER = "ranks"
PLAN = "/etc/rankplan"
PORT = 29500
DEFAULT_IMAGE = "python:3.12-slim"
PROGRAMS = ("probe.py", "spawn.py", "launch.json")
"""What a pod needs of `runtime/`: hosts are not bound here."""


def files(job: Job) -> dict[str, str]:
    """Path in the plan folder -> text, of what a pod sees of it."""
    programs = runtime_files.files(job)
    return {**{f"runtime/{name}": programs[name] for name in PROGRAMS}, **dict(job.shared)}


def key(path: str) -> str:
    """A path as a key of a ConfigMap, which takes no slash."""
    return path.replace("/", ".")


GRACE_S = 30


def template(job: Job, options: Any, config_map: str, service: str, hosts: tuple[str, ...], env: list[Node]) -> Node:
    """Spec of one pod. `env` comes from the controller: who tells a pod its index, and where rank 0 is."""
    site = job.site.kubernetes
    spec: Node = {
        "restartPolicy": "Never",
        "subdomain": service,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": max(job.checkpoint_signal_s, GRACE_S),
    }
    if options.priority_class is not None:
        spec["priorityClassName"] = options.priority_class
    if options.service_account is not None:
        spec["serviceAccountName"] = options.service_account
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if site.node_selector:
        spec["nodeSelector"] = dict(sorted(site.node_selector.items()))
    if hosts:
        spec["affinity"] = _on(hosts)
    if site.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in site.tolerations]
    return {**spec, "containers": [_container(job, env)], "volumes": _volumes(job, config_map)}


def _on(hosts: tuple[str, ...]) -> Node:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(hosts)}
    required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _container(job: Job, env: list[Node]) -> Node:
    site = job.site.kubernetes
    amounts: Node = {site.gpu_resource: str(job.ranks_per_node)}
    if site.rdma_resource is not None:
        amounts[site.rdma_resource] = str(site.rdma_per_node)
    container: Node = {
        "name": CONTAINER,
        "image": job.image or DEFAULT_IMAGE,
        "command": [literal(job.python), "-I", "-S", f"{PLAN}/runtime/spawn.py"],
        "env": [*_environment(job), *env],
        "ports": [{"name": "master", "containerPort": PORT}],
        "resources": {"limits": amounts, "requests": amounts},
    }
    if site.capabilities:
        container["securityContext"] = {"capabilities": {"add": list(site.capabilities)}}
    mounts = [
        {"name": f"mount-{index}", "mountPath": mount.target, "readOnly": mount.read_only}
        for index, mount in enumerate(job.mounts)
    ]
    own = [
        {"name": "plan", "mountPath": PLAN, "readOnly": True},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - where NCCL looks
    ]
    return {**container, "volumeMounts": [*own, *mounts]}


def literal(value: str) -> str:
    """Kubernetes expands $(NAME) in values and arguments, and reads $$ as $."""
    return value.replace("$", "$$")


def _environment(job: Job) -> list[Node]:
    values: list[Node] = [{"name": name, "value": literal(value)} for name, value in job.environment]
    secrets: list[Node] = [
        {"name": secret.name, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}
        for secret in job.secrets
        if secret.secret
    ]
    digest = runtime_files.digest(runtime_files.launch_json(job))
    own: list[Node] = [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "RANKPLAN_PLAN", "value": PLAN},
        {"name": "RANKPLAN_DIGEST", "value": digest},
        {"name": "MASTER_PORT", "value": str(PORT)},
    ]
    return [*values, *secrets, *own]


def _volumes(job: Job, config_map: str) -> list[Node]:
    shm = {"medium": "Memory", "sizeLimit": str(job.site.kubernetes.shm_bytes)}
    hosts = [{"name": f"mount-{i}", "hostPath": {"path": mount.source}} for i, mount in enumerate(job.mounts)]
    items = [{"key": key(path), "path": path} for path in files(job)]
    plan = {"name": "plan", "configMap": {"name": config_map, "items": items}}
    return [plan, {"name": "shm", "emptyDir": shm}, *hosts]
