"""Rules of LeaderWorkerSet: names of its StatefulSets, sizes, subgroups and rollouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding
from compiler.schedulers.kubernetes.webhooks.core import label, pod

QUEUE = "kueue.x-k8s.io/queue-name"
SUBGROUP = "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology"
INT32 = 2**31 - 1


def lws(item: Document) -> Iterator[Finding]:
    spec, meta = item["spec"], item["metadata"]
    template, replicas = spec["leaderWorkerTemplate"], int(spec.get("replicas", 1))
    size = int(template.get("size", 1))
    limit = (39 if QUEUE in meta.get("labels", {}) else 51) - (len(str(max(replicas, 1) - 1)) - 1)
    yield from label("metadata.name", meta["name"], limit)
    yield from label("metadata.name", f"{meta['name']}-{max(replicas, 1) - 1}-{size - 1}")
    yield from label("metadata.name", f"{meta['name']}-{max(replicas, 1) - 1}-{'0' * 10}")  # its workers' revision
    if size < 1 or replicas < 0 or size * replicas > INT32:
        yield "spec.leaderWorkerTemplate.size", f"{size} of {replicas} replicas is out of range"
    yield from _subgroups(template, size, SUBGROUP in meta.get("annotations", {}))
    rollout = spec.get("rolloutStrategy", {}).get("rollingUpdateConfiguration", {})
    if replicas and not (rollout.get("maxUnavailable", 1) or rollout.get("maxSurge", 0)):
        yield "spec.rolloutStrategy", "has neither maxUnavailable nor maxSurge: nothing could ever roll"
    for name in ("leaderTemplate", "workerTemplate"):
        if name in template:
            yield from _pod(f"spec.leaderWorkerTemplate.{name}.spec", template[name]["spec"])


def _pod(where: str, spec: dict[str, Any]) -> Iterator[Finding]:
    if spec.get("restartPolicy", "Always") != "Always":
        yield f"{where}.restartPolicy", "must be Always, as in every StatefulSet"
    yield from pod(where, spec)


def _subgroups(template: dict[str, Any], size: int, exclusive: bool) -> Iterator[Finding]:
    where, policy = "spec.leaderWorkerTemplate.subGroupPolicy", template.get("subGroupPolicy")
    if policy is None:
        if exclusive:
            yield where, f"is missing, which {SUBGROUP} needs"
        return
    part = int(policy["subGroupSize"])
    if not 1 <= part <= size:
        yield where, f"has subGroupSize {part} in a group of {size}"
    elif policy.get("subGroupPolicyType") == "LeaderExcluded" and (size - 1) % part:
        yield where, f"has subGroupSize {part}, which does not divide the {size - 1} workers"
    elif size % part and (size - 1) % part:
        yield where, f"has subGroupSize {part}, which divides neither {size} nor {size - 1}"


RULES = {"leaderworkerset.x-k8s.io/LeaderWorkerSet": lws}
