"""Rules of Volcano: sizes of gangs, life-cycle policies, partitions, and pods whose names must be labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding
from compiler.schedulers.kubernetes.webhooks.core import label, pod

EVENTS = frozenset(
    {"*", "PodPending", "PodRunning", "PodFailed", "PodEvicted", "Unknown", "TaskCompleted", "TaskFailed", "JobUpdated"}
)
ACTIONS = frozenset({"AbortJob", "RestartJob", "RestartTask", "RestartPod", "TerminateJob", "CompleteJob", "ResumeJob"})
PLUGINS = frozenset({"env", "svc", "ssh", "pytorch", "tensorflow", "mpi", "ray", "hcclrank"})


def job(item: Document) -> Iterator[Finding]:
    name, spec = item["metadata"]["name"], item["spec"]
    tasks = spec.get("tasks", [])
    total = sum(int(task.get("replicas", 0)) for task in tasks)
    if not tasks:
        yield "spec.tasks", "is empty"
    if not 0 <= int(spec.get("minAvailable", 0)) <= total:
        yield "spec.minAvailable", f"{spec['minAvailable']} is not within the {total} pods of all tasks"
    if len({task["name"] for task in tasks}) < len(tasks):
        yield "spec.tasks", "has a name twice"
    for plugin in sorted(set(spec.get("plugins", {})) - PLUGINS):
        yield "spec.plugins", f"names {plugin}, which Volcano does not have"
    yield from _policies("spec.policies", spec.get("policies", []))
    yield from _tier("spec.networkTopology", spec.get("networkTopology"))
    for task in tasks:
        yield from _task(name, f"spec.tasks[{task['name']}]", task)


def _task(name: str, where: str, task: dict[str, Any]) -> Iterator[Finding]:
    replicas = int(task.get("replicas", 0))
    yield from label(where, f"{name}-{task['name']}-{max(replicas, 1) - 1}")
    if not 0 <= int(task.get("minAvailable", 0)) <= replicas:
        yield f"{where}.minAvailable", f"{task['minAvailable']} is not within its {replicas} replicas"
    yield from _policies(f"{where}.policies", task.get("policies", []))
    parts = task.get("partitionPolicy")
    if parts is not None:
        if parts["totalPartitions"] * parts["partitionSize"] != replicas:
            sizes = f"{parts['totalPartitions']} x {parts['partitionSize']}"
            yield f"{where}.partitionPolicy", f"has {sizes} pods, and the task {replicas}"
        if not 0 <= parts.get("minPartitions", 0) <= parts["totalPartitions"]:
            yield (
                f"{where}.partitionPolicy",
                f"has minPartitions {parts['minPartitions']} of {parts['totalPartitions']}",
            )
        yield from _tier(f"{where}.partitionPolicy.networkTopology", parts.get("networkTopology"))
    yield from pod(f"{where}.template.spec", task["template"]["spec"])


def _tier(where: str, topology: dict[str, Any] | None) -> Iterator[Finding]:
    if topology is not None and ("highestTierAllowed" in topology) == ("highestTierName" in topology):
        yield where, "needs either highestTierAllowed or highestTierName"


def _policies(where: str, policies: list[dict[str, Any]]) -> Iterator[Finding]:
    seen: list[Any] = []
    for policy in policies:
        events = [*policy.get("events", []), *([policy["event"]] if "event" in policy else [])]
        code = policy.get("exitCode")
        if bool(events) == (code is not None):
            yield where, "has a policy without exactly one of event and exitCode"
        if code == 0:
            yield where, "has exitCode 0, which is no failure"
        if policy.get("action") not in ACTIONS:
            yield where, f"has the action {policy.get('action')}; Volcano has {', '.join(sorted(ACTIONS))}"
        for event in events:
            if event not in EVENTS:
                yield where, f"has the event {event}; Volcano has {', '.join(sorted(EVENTS))}"
        for what in (*events, *([] if code is None else [code])):
            if what in seen:
                yield where, f"has {what} twice"
            seen.append(what)
    if "*" in seen and len([what for what in seen if isinstance(what, str)]) > 1:
        yield where, "has the event * beside others"


RULES = {"batch.volcano.sh/Job": job}
