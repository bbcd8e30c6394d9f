"""What clients need of servers on Kubernetes: a Service to those that have their model loaded, and a budget of disruptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compiler.schedulers import reach
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import names
from compiler.schedulers.kubernetes.objects import INSTANCE, Node, labels, metadata

HTTP = "http"
First = Callable[[Job, Any, int | None], Node]
"""Labels of the pod that has rank 0 of an instance, beside those of its plan; of every instance where None."""


def ports(job: Job) -> tuple[int, ...]:
    """Of each instance's server; pods share a node's ports only where they have no network of their own."""
    return reach.http_ports(job, own_network=not job.site.kubernetes.host_network)


def container_port(job: Job, instance: int) -> list[Node]:
    """The server's port has a name, by which a Service finds it whatever its number is."""
    return [{"name": HTTP, "containerPort": number} for number in ports(job)[instance : instance + 1]]


def service_name(job: Job, instance: int | None = None) -> str:
    """The Service of all instances, or of one."""
    suffix = f"-{HTTP}" + ("" if instance is None else f"-{instance}")
    return names.within(names.dns(job.name), names.LABEL - len(suffix)) + suffix


def asked(job: Job, options: Any) -> str | None:
    """How a person asks any server of a plan from outside of the cluster."""
    if not ports(job):
        return None
    where = "" if options.namespace is None else f"-n {options.namespace} "
    number = ports(job)[0]
    forward = f"kubectl port-forward {where}service/{service_name(job)} {number}"
    return f"{forward} & sleep 2; {reach.curl(job)} {job.http_scheme}://localhost:{number}{reach.MODELS}"


def url(job: Job, instance: int) -> list[str]:
    """Where one instance of a pool answers, by its own Service."""
    return [
        f"{job.http_scheme}://{service_name(job, instance)}:{number}" for number in ports(job)[instance : instance + 1]
    ]


def objects(job: Job, options: Any, first: First, pods: Node, *, by_host: bool) -> list[Node]:
    """All that clients need; nothing where nothing is served. `pods` are labels of the pods that hold ranks.

    With `by_host` rank 0 may be in any of them, and only that one is ever ready.
    """
    if not ports(job):
        return []
    found = [_service(job, options, None, first)]
    if job.world.config.workload.role is not None:  # a router sends each request to an instance of its choice
        found += [_service(job, options, instance, first) for instance in range(job.instances)]
    return [*found, _budget(job, options, pods, by_host=by_host)]


def _service(job: Job, options: Any, instance: int | None, first: First) -> Node:
    """To those whose readiness probe passes. One instance's has no address of its own: its name is that of the pod."""
    number = ports(job)[instance or 0]
    headless = {} if instance is None else {"clusterIP": "None"}
    spec = {
        **headless,
        "publishNotReadyAddresses": False,
        "selector": {INSTANCE: labels(job)[INSTANCE], **first(job, options, instance)},
        "ports": [{"name": HTTP, "port": number, "targetPort": HTTP}],
    }
    name = service_name(job, instance)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, job, options), "spec": spec}


def _budget(job: Job, options: Any, pods: Node, *, by_host: bool) -> Node:
    """Nodes are drained one pod at a time, as a server is down with any of its pods; the only server not without a person.

    A count, and of what must stay: the only budget that Kubernetes knows for pods of controllers that it does not.
    """
    total = job.nodes * job.instances
    spec = {
        "minAvailable": total if job.instances == 1 else total - 1,
        "unhealthyPodEvictionPolicy": "IfHealthyBudget" if by_host else "AlwaysAllow",
        "selector": {"matchLabels": {INSTANCE: labels(job)[INSTANCE], **pods}},
    }
    name = names.label(job.name)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, job, options),
        "spec": spec,
    }
