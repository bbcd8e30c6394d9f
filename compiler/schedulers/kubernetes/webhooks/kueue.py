"""Rules of Kueue: what the annotations of a pod set may say together, and that somebody queues the object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from compiler.schedulers.kubernetes.webhooks import Document, Finding

PREFIX = "kueue.x-k8s.io/podset-"
QUEUE = "kueue.x-k8s.io/queue-name"
MODES = ("required-topology", "preferred-topology", "unconstrained-topology")
SLICE, SLICE_SIZE, GROUP = "slice-required-topology", "slice-size", "group-name"
LAYERS, MOST_LAYERS = "slice-required-topology-constraints", 3
PodSet = tuple[str, int, dict[str, Any]]
"""Where its template is, how many pods it has, and the template."""
_LABEL_NAME = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def checked(
    pod_sets: Callable[[Document], list[PodSet]], *, queued: bool = True
) -> Callable[[Document], Iterator[Finding]]:
    """The rules over an object's pod sets; a TrainingRuntime is not `queued` itself, its TrainJob is."""

    def rule(item: Document) -> Iterator[Finding]:
        groups: dict[str, list[tuple[int, dict[str, str]]]] = {}
        for where, count, template in pod_sets(item):
            found = _annotations(template)
            if found and queued and QUEUE not in item["metadata"].get("labels", {}):
                yield "metadata.labels", f"has no {QUEUE}, and so nobody reads the annotations of {where}"
            yield from _pod_set(where, count, found)
            if GROUP in found:
                groups.setdefault(found[GROUP], []).append((count, found))
        for name, members in groups.items():
            yield from _group(name, members)

    return rule


def _annotations(template: dict[str, Any]) -> dict[str, str]:
    found = template.get("metadata", {}).get("annotations", {})
    return {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}


def _pod_set(where: str, count: int, found: dict[str, str]) -> Iterator[Finding]:
    modes = [mode for mode in MODES if mode in found]
    if found and len(modes) != 1:
        yield where, f"has {len(modes)} of {', '.join(MODES)}, not one"
    for name in ("required-topology", "preferred-topology", SLICE):
        if name in found and not _LABEL_NAME.fullmatch(found[name]):
            yield where, f"has {name} {found[name]!r}, which is no label of nodes"
    if (SLICE in found) != (SLICE_SIZE in found):
        yield where, f"has one of {SLICE} and {SLICE_SIZE}, which go together"
    size = found.get(SLICE_SIZE, "1")
    if not re.fullmatch("[0-9]{1,18}", size) or not 1 <= int(size) <= count:
        yield where, f"has {SLICE_SIZE} {size} of {count} pods"
    elif count % int(size):
        yield where, f"has {SLICE_SIZE} {size}, which does not divide its {count} pods"
    if LAYERS in found:
        yield from _layers(where, count, json.loads(found[LAYERS]), {SLICE, SLICE_SIZE} & set(found))
    if GROUP in found and {SLICE, LAYERS} & set(found):
        yield where, "has slices in a group of pod sets"
    if found.get(GROUP, "").isdigit():
        yield where, f"has the group {found[GROUP]}, a number"


def _layers(where: str, count: int, layers: list[dict[str, Any]], beside: set[str]) -> Iterator[Finding]:
    """Slices within slices, the largest first."""
    if beside:
        yield where, f"has {' and '.join(sorted(beside))} beside {LAYERS}"
    if not 1 <= len(layers) <= MOST_LAYERS:
        yield where, f"has {len(layers)} layers of slices, not 1 to {MOST_LAYERS}"
    around = count
    for layer in layers:
        if set(layer) != {"topology", "size"} or not _LABEL_NAME.fullmatch(str(layer.get("topology"))):
            yield where, f"has a layer {layer}, which is not a label of nodes and a size"
            return
        if layer["size"] < 1 or around % layer["size"]:
            yield where, f"has a layer of {layer['size']}, which does not divide {around}"
            return
        around = layer["size"]


def _group(name: str, members: list[tuple[int, dict[str, str]]]) -> Iterator[Finding]:
    if len(members) != 2 or 1 not in [count for count, _ in members]:
        yield (
            f"group {name}",
            f"has {len(members)} pod sets of {[count for count, _ in members]} pods, not two, one of them a single pod",
        )
    if len({tuple(found.get(mode) for mode in MODES) for _, found in members}) > 1:
        yield f"group {name}", "has pod sets that ask for different topologies"


def _job(item: Document) -> list[PodSet]:
    return [("spec.template", int(item["spec"].get("parallelism", 1)), item["spec"]["template"])]


def _jobset(item: Document) -> list[PodSet]:
    return [
        (
            f"replicatedJobs[{child['name']}]",
            int(child.get("replicas", 1)) * int(child["template"]["spec"].get("parallelism", 1)),
            child["template"]["spec"]["template"],
        )
        for child in item["spec"]["replicatedJobs"]
    ]


def _runtime(item: Document) -> list[PodSet]:
    return _jobset({"spec": item["spec"]["template"]["spec"]})


def _lws(item: Document) -> list[PodSet]:
    template = item["spec"]["leaderWorkerTemplate"]
    size, leader = int(template.get("size", 1)), "leaderTemplate" in template
    workers = ("workerTemplate", size - 1 if leader else size, template["workerTemplate"])
    return [("leaderTemplate", 1, template["leaderTemplate"]), workers] if leader else [workers]


def _mpijob(item: Document) -> list[PodSet]:
    replicas = item["spec"]["mpiReplicaSpecs"]
    return [(role, int(given.get("replicas", 1)), given["template"]) for role, given in replicas.items()]


RULES = {
    "batch/Job": checked(_job),
    "jobset.x-k8s.io/JobSet": checked(_jobset),
    "trainer.kubeflow.org/TrainingRuntime": checked(_runtime, queued=False),
    "leaderworkerset.x-k8s.io/LeaderWorkerSet": checked(_lws),
    "kubeflow.org/MPIJob": checked(_mpijob),
}
