"""The pod around a container: where it may run, as whom, and with which volumes. The same for every controller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes.container import COMPUTE_DOMAIN, grace_s, preflight
from compiler.schedulers.kubernetes.objects import Node, labels

DEAD_S = 60
KILL_S = 10
"""What spawn.py has left to end after its ranks had theirs."""


def template(spec: Node, job: Job, annotations: Node | None = None) -> Node:
    """A pod template; `annotations` are those that the controller or its queue reads."""
    found = {**dict(sorted(job.site.kubernetes.pod_annotations.items())), **(annotations or {})}
    return {"metadata": {"labels": labels(job), **({"annotations": found} if found else {})}, "spec": spec}


def spec(
    job: Job,
    options: Any,
    container: Node,
    plan: Node,
    instance: int | None,
    claim: str | None,
    *,
    looked_at: bool = True,
    **more: Any,
) -> Node:
    """Spec of one pod. `plan` is the volume of the plan folder, `claim` the template of a compute domain's claim.

    `instance` is None where all instances have one template; a pod that is `looked_at` begins with the preflight.
    """
    site = job.site.kubernetes
    found: Node = {
        "restartPolicy": "Never",
        **more,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s(job) + KILL_S,
        "securityContext": _as_whom(job),
    }
    if site.host_network:
        found |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    found |= {**_chosen(options), **_where(job, instance)}
    if claim is not None:
        found["resourceClaims"] = [{"name": COMPUTE_DOMAIN, "resourceClaimTemplateName": claim}]
    if first := preflight(job, container) if looked_at else []:
        found["initContainers"] = first
    return {**found, "containers": [container], "volumes": [plan, *_volumes(job)]}


def _as_whom(job: Job) -> Node:
    site = job.site.kubernetes
    given = {"runAsUser": site.run_as_user, "runAsGroup": site.run_as_group, "fsGroup": site.fs_group}
    found: Node = {name: value for name, value in given.items() if value is not None}
    if site.run_as_user:
        found["runAsNonRoot"] = True
    return {**found, "seccompProfile": {"type": site.seccomp}}


def _chosen(options: Any) -> Node:
    """What the target's options name in the cluster."""
    given = {"priorityClassName": options.priority_class, "serviceAccountName": options.service_account}
    found: Node = {name: value for name, value in given.items() if value is not None}
    if options.image_pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return found


def _where(job: Job, instance: int | None) -> Node:
    """Nodes by their labels; a pinned plan's own, though which of them is which slot nothing here can say."""
    site = job.site.kubernetes
    found: Node = {}
    first = 0 if instance is None else job.share.first_node(instance)
    own = job.hosts[job.within.first :][: job.all_nodes]
    hosts = own[first:] if instance is None else own[first : first + job.nodes]
    if site.node_selector:
        found["nodeSelector"] = dict(sorted(site.node_selector.items()))
    if hosts:
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(hosts)}
        required = {"nodeSelectorTerms": [{"matchExpressions": [term]}]}
        found["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    found["tolerations"] = [*(dict(toleration) for toleration in site.tolerations), *_of_dead_nodes(site.tolerations)]
    return found


def _of_dead_nodes(given: Sequence[Mapping[str, Any]]) -> Iterator[Node]:
    """How long a pod stays with a node that no longer answers: Kubernetes has 300 s, in which a gang stands still."""
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key", key) == key for toleration in given):
            yield {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": DEAD_S}


def _volumes(job: Job) -> Iterator[Node]:
    site = job.site.kubernetes
    yield {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(site.shm_bytes)}}
    if site.read_only_root:
        yield {"name": "tmp", "emptyDir": {}}
    for index, mount in enumerate(job.mounts):
        yield {"name": f"mount-{index}", "hostPath": {"path": mount.source}}
