"""The order of pods is proven where something fixes it, and warned of elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compiler.passes import compile_config
from compiler.specs.hardware import Fabric
from compiler.specs.site import Site
from tests.configs import composed
from tests.controllers import CONTROLLERS
from tests.kubernetes_plans import BARE, LEAVES, PODS, QUEUE, TOPOLOGY, checks, kubernetes


def proven(target: str, *shape: int, fabric: Fabric = LEAVES, site: Site = TOPOLOGY, **given: Any) -> bool:
    """Whether the order is: a warning where not, never a failure."""
    found = checks(kubernetes(target, *shape, fabric=fabric, site=site, **given)).get("order-unproven")
    assert found is None or (found.status == "warn" and found.fix)
    return found is None


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        *((target, {"site": BARE}, False) for target in CONTROLLERS),
        ("kubernetes_job", {}, False),
        ("kubernetes_job", {"options": QUEUE}, True),
        ("kubernetes_job", {"options": {**QUEUE, "topology": "preferred"}}, False),
        ("jobset", {}, False),  # each leaf is one, and nothing keeps the two in one pod
        ("jobset", {"options": {"exclusive": False}}, False),
        ("jobset", {"options": QUEUE}, True),
        ("jobset", {"options": {"queue": "q"}}, False),
        ("lws", {}, False),
        ("lws", {"options": QUEUE}, False),
        ("lws", {"options": {"exclusive": False}}, False),
        ("trainjob", {}, False),
        ("trainjob", {"options": QUEUE}, True),
        ("volcano", {"options": {"domain_tier": 1}}, False),
        ("volcano", {"options": {"domain_tier": 1, "tier": 2}}, True),
        ("volcano", {"options": {"tier": 1}}, False),
        ("mpijob", {}, False),
        ("mpijob", {"options": QUEUE}, True),
    ],
)
def test_order_is_proven_where_something_fixes_it(target: str, given: dict[str, Any], expected: bool) -> None:
    """Eight nodes on two leaves of one pod."""
    assert proven(target, 8, 2, fabric=PODS, **given) is expected


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        ("jobset", {}, True),
        ("lws", {}, True),
        ("volcano", {"options": {"domain_tier": 1}}, True),
        ("kubernetes_job", {}, False),
    ],
)
def test_one_level_is_enough_where_the_plan_has_no_other(target: str, given: dict[str, Any], expected: bool) -> None:
    assert proven(target, 8, 2, **given) is expected


def test_a_network_without_leaves_has_no_order() -> None:
    assert all(proven(target, 8, 2, fabric=Fabric(kind="flat"), site=BARE) for target in CONTROLLERS)


def test_what_is_lost_is_said_with_what_would_keep_it() -> None:
    found = checks(kubernetes("jobset", 16, 2, fabric=PODS, site=TOPOLOGY))["order-unproven"]
    assert "is tied to the plan's leaves, and not to its pods: groups within one pod may span several" in found.message
    assert "write scheduler.jobset.queue=my-queue scheduler.jobset.topology=required" in found.fix
    found = checks(kubernetes("lws", 16, 2, fabric=PODS, site=TOPOLOGY))["order-unproven"]
    assert "write scheduler=jobset scheduler.jobset.queue=my-queue" in found.fix


@pytest.mark.parametrize("target", CONTROLLERS)
def test_one_node_has_no_order(target: str) -> None:
    assert proven(target, 1, 8, site=BARE)
    assert proven(target, 3, 8, instances=3, site=BARE)


def test_one_leaf_is_held_by_a_group_of_leader_and_workers_too() -> None:
    assert proven("lws", 4, 2, options=QUEUE)
    assert proven("volcano", 4, 2, options={"tier": 1})


def test_leaves_that_two_instances_share_are_nobodys_own() -> None:
    assert not proven("jobset", 8, 2, instances=4)
    assert proven("jobset", 8, 2, instances=2)


def test_uneven_leaves() -> None:
    """A JobSet spells them out; groups, partitions and Kueue's slices are of one size."""
    assert proven("jobset", 10, 2)
    assert not proven("jobset", 10, 2, options=QUEUE)
    assert "domains of one size" in checks(kubernetes("lws", 10, 2, fabric=LEAVES, site=TOPOLOGY))["order-unproven"].fix
    failed = checks(kubernetes("volcano", 10, 2, fabric=LEAVES, options={"domain_tier": 1}))["volcano-domains"]
    assert (failed.status, failed.limit) == ("fail", "domains of one size")


@pytest.mark.parametrize("nodes", [4, 8, 16])
@pytest.mark.parametrize("target", CONTROLLERS)
def test_what_would_keep_the_order_keeps_it(target: str, nodes: int) -> None:
    """Every way that a warning names, where it names one by a key, is tried."""
    on = ["model=llama3_1_8b", "hardware=h100_80gb", f"hardware.nodes={nodes}", "parallel=tp8", f"parallel.dp={nodes}"]
    on += [
        "hardware.fabric.nodes_per_leaf=4",
        "hardware.fabric.leaves_per_pod=2",
        f"scheduler={target}",
        "launch.image=i",
    ]
    (found,) = [item for item in compile_config(composed(*on)).checks if item.id == "order-unproven"]
    assert found.status == "warn"
    ways = [re.findall(r"[a-z_.]+=[a-zA-Z/.-]+", way) for way in found.fix.split("; or ")]
    assert all(ways) or "pin the plan" in found.fix
    for way in filter(None, ways):
        keys = [key.replace("=TIER", f"={1 + key.count('.tier')}") for key in way]
        again = compile_config(composed(*on, *keys)).checks
        assert {item.status for item in again if item.id == "order-unproven"} == {"pass"}, keys
