"""Where pods may land: what manifests ask of each controller, read by its own rules, and admissible placements drawn at random.

JobSet's and LeaderWorkerSet's exclusive placement, Kueue's topology-aware scheduling (pods in the order of their index,
slices of consecutive ones, each set of pods apart), Volcano's tiers and partitions, node affinity; else any free node.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.controllers import LWS, Node, Pod
from tests.kubernetes_plans import KEYS

LEVELS = (str(KEYS.pod), str(KEYS.leaf), str(KEYS.domain))
"""Labels of nodes, the largest domains first."""
KUEUE = "kueue.x-k8s.io/"
Host = dict[str, str]
"""A node's labels; its name is kubernetes.io/hostname."""
NAME = "kubernetes.io/hostname"


class NoRoomError(Exception):
    """This draw led nowhere."""


@dataclass(frozen=True)
class Block:
    """Pods, by their place among those of their instance, that land in one domain; `alone` where no others may."""

    key: str
    pods: range
    alone: bool = False


def of(item: Node, found: list[Node], tiers: list[str]) -> list[list[Block]]:
    """What an object asks for its pods: for each of its instances. `tiers` are the labels of Volcano's, from tier 1."""
    if item["kind"] == "Job" and item["apiVersion"] != "batch/v1":
        return [list(_volcano(item, tiers))]
    return [list(blocks) for blocks in _READ.get(item["kind"], _nothing)(item, found)]


def _kueue(template: Node, queued: Node, pods: range) -> Iterator[Block]:
    asked = template["metadata"].get("annotations", {})
    if f"{KUEUE}queue-name" not in queued["metadata"]["labels"]:
        return
    own = {name.removeprefix(f"{KUEUE}podset-"): value for name, value in asked.items() if name.startswith(KUEUE)}
    if "required-topology" in own:
        yield Block(own["required-topology"], pods)
    layers = json.loads(own.get("slice-required-topology-constraints", "[]"))
    if "slice-size" in own:
        layers = [{"topology": own["slice-required-topology"], "size": int(own["slice-size"])}]
    for layer in layers:
        yield from (Block(layer["topology"], part) for part in _parts(pods, layer["size"]))


def _parts(pods: range, size: int) -> list[range]:
    return [pods[first : first + size] for first in range(0, len(pods), size)]


def _job(item: Node, _: list[Node]) -> list[Iterator[Block]]:
    return [_kueue(item["spec"]["template"], item, range(item["spec"]["completions"]))]


def _volcano(item: Node, tiers: list[str]) -> Iterator[Block]:
    (task,) = item["spec"]["tasks"]
    pods, parts = range(task["replicas"]), task.get("partitionPolicy", {})
    for asked, split in ((item["spec"], len(pods)), (parts, parts.get("partitionSize", 1))):
        tier = asked.get("networkTopology", {}).get("highestTierAllowed")
        if tier is not None:
            yield from (Block(tiers[tier - 1], part) for part in _parts(pods, split))


def _children(spec: Node, meta: Node, queued: Node) -> Iterator[Block]:
    first, alone = 0, meta.get("annotations", {}).get("alpha.jobset.sigs.k8s.io/exclusive-topology")
    for child in spec["replicatedJobs"]:
        size = child["template"]["spec"]["completions"]
        pods = range(first, first + child["replicas"] * size)
        if alone is not None:
            yield from (Block(alone, part, alone=True) for part in _parts(pods, size))
        yield from _kueue(child["template"]["spec"]["template"], queued, pods)
        first = pods.stop


def _jobset(item: Node, _: list[Node]) -> list[Iterator[Block]]:
    return [_children(item["spec"], item["metadata"], item)]


def _trainjob(item: Node, found: list[Node]) -> list[Iterator[Block]]:
    (runtime,) = [
        other["spec"]["template"]["spec"]
        for other in found
        if other["kind"] == "TrainingRuntime" and other["metadata"]["name"] == item["spec"]["runtimeRef"]["name"]
    ]
    return [_children(runtime, {}, item)]


def _lws(item: Node, _: list[Node]) -> list[Iterator[Block]]:
    return [_group(item) for _ in range(item["spec"]["replicas"])]


def _group(item: Node) -> Iterator[Block]:
    """Leader and workers are one set of pods to Kueue where they name one group."""
    template, asked = item["spec"]["leaderWorkerTemplate"], item["metadata"]["annotations"]
    pods = range(template["size"])
    if f"{LWS}exclusive-topology" in asked:
        yield Block(asked[f"{LWS}exclusive-topology"], pods, alone=True)
    if f"{LWS}subgroup-exclusive-topology" in asked:
        size = template["subGroupPolicy"]["subGroupSize"]
        yield from (Block(asked[f"{LWS}subgroup-exclusive-topology"], part, alone=True) for part in _parts(pods, size))
    if "leaderTemplate" in template:
        yield from _kueue(template["leaderTemplate"], item, pods)


def _mpijob(item: Node, _: list[Node]) -> list[Iterator[Block]]:
    workers = item["spec"]["mpiReplicaSpecs"]["Worker"]
    return [_kueue(workers["template"], item, range(workers["replicas"]))]


def _nothing(_: Node, __: list[Node]) -> list[Iterator[Block]]:
    return []


_READ: dict[str, Any] = {
    "Job": _job,
    "JobSet": _jobset,
    "TrainJob": _trainjob,
    "LeaderWorkerSet": _lws,
    "MPIJob": _mpijob,
}


def draw(chance: random.Random, pods: list[Pod], blocks: list[Block], free: list[Host], taken: set[str]) -> list[Host]:
    """A node for each pod of an instance. `taken` are domains that others have to themselves, and is added to."""
    fit = [host for host in free if _admits(pods[0], host)]
    for _ in range(200):
        own = set(taken)
        try:
            found = _placed(chance, list(range(len(pods))), blocks, fit, 0, own)
        except NoRoomError:
            continue
        taken |= own
        return found
    raise NoRoomError


def _admits(pod: Pod, host: Host) -> bool:
    affinity = (
        pod.spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    if affinity is None:
        return True
    (term,) = affinity["nodeSelectorTerms"]
    return all(host[asked["key"]] in asked["values"] for asked in term["matchExpressions"])


def _placed(
    chance: random.Random, pods: list[int], blocks: list[Block], free: list[Host], depth: int, taken: set[str]
) -> list[Host]:
    """Units, which what is asked at this level or below keeps together, each into any domain that has room."""
    if depth == len(LEVELS):
        if len(free) < len(pods):
            raise NoRoomError
        return chance.sample(free, len(pods))
    key, room = LEVELS[depth], defaultdict(list)
    for host in free:
        room[host[key]].append(host)
    chosen: dict[str, list[int]] = defaultdict(list)
    used: dict[str, int] = defaultdict(int)
    reserved: set[str] = set()
    for unit, alone in sorted(_units(pods, blocks, depth), key=lambda found: -len(found[0])):
        able = [
            name
            for name, hosts in room.items()
            if len(hosts) - used[name] >= _room(unit, blocks, depth, hosts)
            and name not in taken | reserved
            and not (alone and chosen[name])
        ]
        if not able:
            raise NoRoomError
        name = chance.choice(able)
        chosen[name] += unit
        used[name] += _room(unit, blocks, depth, room[name])
        reserved |= {name} if alone else set()
    found: dict[int, Host] = {}
    for name, own in chosen.items():
        if own:
            own.sort()
            found |= dict(zip(own, _placed(chance, own, blocks, room[name], depth + 1, taken), strict=True))
    taken |= reserved
    return [found[pod] for pod in pods]


def _room(unit: list[int], blocks: list[Block], depth: int, hosts: list[Host]) -> int:
    """Nodes that a unit takes: whole domains further in for what is alone there."""
    for key in LEVELS[depth + 1 :]:
        alone = sum(1 for block in blocks if block.alone and block.key == key and block.pods[0] in unit)
        if alone:
            return max(len(unit), alone * max(Counter(host[key] for host in hosts).values()))
    return len(unit)


def _units(pods: list[int], blocks: list[Block], depth: int) -> Iterator[tuple[list[int], bool]]:
    """Blocks of this level and those within, the widest first; pods in none are alone with themselves."""
    inner = [block for block in blocks if block.key in LEVELS[depth:]]
    left = set(pods)
    for block in sorted(inner, key=lambda block: -len(block.pods)):
        own = [pod for pod in block.pods if pod in left]
        left -= set(own)
        if own:
            alone = any(other.alone and other.key == LEVELS[depth] and own[0] in other.pods for other in blocks)
            yield own, alone
    yield from (([pod], False) for pod in sorted(left))
