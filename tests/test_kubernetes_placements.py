"""What is promised of the order of pods holds wherever controllers may put them, and what is not promised may fail.

Manifests are read by the controllers' own rules (placements.py), placements drawn in a cluster with room to spare.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.cluster.slots import Slots
from compiler.cluster.spans import spans
from compiler.schedulers import registry
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes import topology
from compiler.specs.hardware import Fabric
from compiler.specs.site import Site
from tests import placements
from tests.controllers import CONTROLLERS, documents, pods
from tests.kubernetes_plans import QUEUE, TOPOLOGY, kubernetes
from tests.placements import LEVELS, NAME, Host
from tests.plans import SmallPlan

DRAWS = 12
NETWORKS: dict[str, dict[str, Any]] = {
    "leaves": {"fabric": Fabric(kind="flat", nodes_per_leaf=4)},
    "pods": {"fabric": Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=2)},
    "racks": {"fabric": Fabric(kind="flat", nodes_per_leaf=4, leaves_per_pod=4), "domain_gpus": 4},
}
"""One level of topology, two, and two with NVLink between pairs of nodes."""
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {"exclusive": False},
    "default": {},
    "required": QUEUE,
    "preferred": {**QUEUE, "topology": "preferred"},
    "tiers": {"tier": True, "domain_tier": 1},
    "tier": {"tier": True},
}
"""A tier of Volcano's is that of the smallest domains that hold an instance."""
SIZES = [(4, 1), (6, 1), (8, 1), (8, 2), (12, 1), (16, 1), (24, 3), (32, 2), (64, 1)]
"""(nodes, instances)."""


def cluster(plan: SmallPlan) -> list[Host]:
    """Nodes by pod, leaf and NVLink domain, three times as many as the plan has, in domains larger than the plan's."""
    slots = plan.world.slots
    places: list[tuple[object, ...]] = [
        (node, node // 24, node // 6, node // 3) for node in range(3 * slots.count + 24)
    ]
    if slots.hosts:
        places = list(zip(slots.hosts, slots.pod.tolist(), slots.leaf.tolist(), slots.domain.tolist(), strict=True))
    return [
        {NAME: str(name), **{key: f"{key}-{at}" for key, at in zip(LEVELS, own, strict=True)}} for name, *own in places
    ]


class Drawn:
    """Admissible placements of a plan: the node of each slot of all instances."""

    def __init__(self, plan: SmallPlan) -> None:
        self.plan, found, self.nodes = plan, documents(plan), job(plan).nodes
        self.pods = [pod for pod in pods(found) if pod.index >= 0]
        self.by_host = any("RANKPLAN_BY_HOST" in pod.environment for pod in pods(found))
        tiers = [str(level.key) for level in topology.levels(job(plan))]
        self.asked = [blocks for item in found for blocks in placements.of(item, found, tiers)]

    def __call__(self, seed: int) -> list[Host]:
        chance, free, taken, hosts = random.Random(seed), cluster(self.plan), set[str](), list[Host]()
        for instance, blocks in enumerate(self.asked):
            own = self.pods[instance * self.nodes : (instance + 1) * self.nodes]
            assert [pod.index for pod in own] == list(range(self.nodes))
            landed = placements.draw(chance, own, blocks, free, taken)
            free = [host for host in free if host not in landed]
            hosts += self.by_slot(landed, instance * self.nodes)
        return hosts

    def by_slot(self, landed: list[Host], first: int) -> list[Host]:
        """As runtime/meet.py has it where pods are told to take the slots of their nodes; else a pod's slot is its index."""
        if not self.by_host:
            return landed
        names = self.plan.world.slots.hosts[first : first + len(landed)]
        return sorted(landed, key=lambda host: names.index(host[NAME]))


def real(plan: SmallPlan, hosts: list[Host]) -> Slots:
    ids = [np.unique([host[key] for host in hosts], return_inverse=True)[1] for key in LEVELS]
    known, slots = {level.name for level in topology.levels(job(plan))}, plan.world.slots
    parts: dict[str, Any] = dict(zip(("pod", "leaf", "domain"), ids, strict=True))
    return replace(slots, **{name: part for name, part in parts.items() if name in known})


def longer(plan: SmallPlan, found: Slots) -> list[str]:
    """Kinds of groups that cross a farther link than the plan says."""
    places, world = job(plan), plan.world
    kinds = []
    for kind in plan.world.kinds:
        table = world.kinds[kind].table()
        for instance in range(places.instances):
            ranks = table + instance * world.size
            if (spans(ranks, found) > spans(ranks, world.slots)).any():
                kinds.append(kind)
    return kinds


def parted(plan: SmallPlan, found: Slots) -> bool:
    """Whether two nodes of an instance that the plan has in one domain are in two."""
    nodes, slots = job(plan).nodes, plan.world.slots
    levels = [(slots.domain, found.domain), (slots.leaf, found.leaf), (slots.pod, found.pod)]
    for planned, there in levels:
        for first in range(0, slots.count, nodes):
            one, other = planned[first : first + nodes], there[first : first + nodes]
            if ((one[:, None] == one) & (other[:, None] != other)).any():
                return True
    return False


def tiered(options: dict[str, Any], plan: SmallPlan) -> dict[str, Any]:
    if "tier" not in options:
        return options
    place = job(plan)
    holding = [index for index, level in enumerate(topology.levels(place)) if topology.holds(level, place)]
    return {**options, "tier": holding[0] + 1 if holding else None}


def cases() -> Iterator[Any]:
    for target in CONTROLLERS:
        for asked in ASKED:
            if ("tier" in asked) == (target == "volcano") or asked == "default":
                yield from (
                    pytest.param(target, asked, network, id=f"{target}-{asked}-{network}") for network in NETWORKS
                )


@pytest.mark.parametrize(("target", "asked", "network"), list(cases()))
def test_spans_hold_wherever_pods_may_land_or_the_plan_says_that_they_may_not(
    target: str, asked: str, network: str
) -> None:
    for nodes, instances in SIZES:
        given = {**NETWORKS[network], "site": TOPOLOGY, "instances": instances}
        options = tiered(ASKED[asked], kubernetes(target, nodes, 2, **given))
        plan = kubernetes(target, nodes, 2, **given, options=options)
        found = {item.id: item.status for item in registry.checks(plan)}
        if "fail" in found.values():
            continue
        where = [real(plan, hosts) for hosts in map(Drawn(plan), range(DRAWS))]
        if found.get("order-unproven", "pass") == "pass":
            assert not [longer(plan, slots) for slots in where if parted(plan, slots) or longer(plan, slots)], nodes
        else:
            assert any(parted(plan, slots) for slots in where), f"{nodes} nodes: a warning of what cannot be"


@pytest.mark.parametrize("labels", [TOPOLOGY, Site(name="bare")], ids=["labels", "bare"])
@pytest.mark.parametrize("asked", ["default", "required"])
@pytest.mark.parametrize("target", CONTROLLERS)
def test_pinned_hosts_are_kept_or_said_not_to_be(target: str, asked: str, labels: Site) -> None:
    for nodes, instances in [(4, 1), (8, 2), (10, 1), (16, 1), (32, 4), (64, 1)]:
        rows = "".join(f"h{node},l{node // 4},p{node // 8},r\n" for node in range(nodes))
        given = {"hosts": "host,leaf,pod,rack\n" + rows, "pin": True, "instances": instances, "site": labels}
        plan = kubernetes(target, nodes, 2, **given, options=ASKED[asked])
        found = {item.id: item.status for item in registry.checks(plan)}
        if "fail" in found.values():
            continue
        landed = list(map(Drawn(plan), range(DRAWS)))
        kept = all([host[NAME] for host in hosts] == list(plan.world.slots.hosts) for hosts in landed)
        assert kept is (found["pinned-hosts"] == "pass"), nodes
        if found.get("order-unproven", "pass") == "pass":
            assert not any(longer(plan, real(plan, hosts)) for hosts in landed)


def test_layers_of_slices_reach_the_manifest() -> None:
    """64 nodes on 16 leaves of 8 pods, that nothing holds as a whole."""
    plan = kubernetes("kubernetes_job", 64, 2, **NETWORKS["pods"], site=TOPOLOGY, options=QUEUE)
    (made,) = [item for item in documents(plan) if item["kind"] == "Job"]
    text = made["spec"]["template"]["metadata"]["annotations"][
        "kueue.x-k8s.io/podset-slice-required-topology-constraints"
    ]
    assert json.loads(text) == [{"topology": LEVELS[0], "size": 8}, {"topology": LEVELS[1], "size": 4}]
