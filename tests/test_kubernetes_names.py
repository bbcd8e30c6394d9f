"""Names of objects and pods fit what the controllers make of them, and stay apart."""

from __future__ import annotations

import re

import pytest

from compiler.errors import ConfigError
from compiler.schedulers.kubernetes import names
from tests.controllers import CONTROLLERS, documents, pods
from tests.kubernetes_plans import kubernetes

LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@pytest.mark.parametrize("plan_name", ["a", "A.b_c", "9lives", "x" * 100, "a." * 50, "x" * 61 + "--y", "-_-x", "_"])
@pytest.mark.parametrize("target", CONTROLLERS)
@pytest.mark.parametrize(("nodes", "instances"), [(1, 1), (130, 1), (24, 12)])
def test_every_name_and_host_name_fits_its_budget(target: str, plan_name: str, nodes: int, instances: int) -> None:
    """Also with a queue, which leaves the least room; the longest pod name is what the controllers make of it."""
    plan = kubernetes(target, nodes, 1, instances=instances, name=plan_name, options={"queue": "q"})
    for document in documents(plan):
        assert LABEL.fullmatch(document["metadata"]["name"])
        assert len(document["metadata"]["name"]) <= 63
    started = pods(documents(plan))
    assert len({pod.address for pod in started}) == len(started)
    for pod in started:
        host, subdomain = pod.address.split(".")[:2]
        assert LABEL.fullmatch(host)
        assert LABEL.fullmatch(subdomain)
        assert max(len(host), len(subdomain)) <= 63


def test_budgets_are_the_controllers_own_formulas() -> None:
    assert names.indexed_job(128) == 59
    assert names.jobset({"workers": (1, 128)}) == 43
    assert names.jobset({"node": (1, 128)}, subdomain=10) == 63 - (4 + 1 + 3 + 3) - 11
    assert (names.lws(1, kueue=False), names.lws(1, kueue=True), names.lws(11, kueue=False)) == (50, 39, 49)
    assert (names.trainjob(1000), names.volcano("node", 128), names.mpijob(128)) == (46, 54, 52)


def test_a_name_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave 11 of 63 characters for the plan's, which needs 12 ; use fewer nodes"):
        names.within("x", 11)


def test_long_names_stay_apart() -> None:
    assert names.each("x" * 99 + "1", 1, 50) != names.each("x" * 99 + "2", 1, 50)
    assert names.each("moe_30b_v1", 1, 50) == ("moe-30b-v1",)


def test_names_that_differ_make_objects_that_differ() -> None:
    """Plans that share objects would overwrite each other; nor is one an instance, or the Service, of another."""
    alike = ["my_plan", "my-plan", "My_Plan", "my.plan", "my__plan", "my_plan_", "MY-PLAN", "my_plan_0", "my_plan_http"]
    for target in CONTROLLERS:
        seen: set[tuple[str, str]] = set()
        for name in alike:
            made = kubernetes(target, 2, 2, instances=2, name=name)
            own = {(item["kind"], item["metadata"]["name"]) for item in documents(made)}
            assert not seen & own
            seen |= own
    assert names.dns("my_plan") == "my-plan"


def test_groups_of_workers_have_a_label_for_their_revision() -> None:
    """`<lws>-<group>-<hash of ten digits>`, without which no worker starts."""
    for instances in (1, 10, 11, 101):
        (name,) = {
            item["metadata"]["name"]
            for item in documents(kubernetes("lws", 2 * instances, 8, instances=instances, name="x" * 90))
            if item["kind"] == "LeaderWorkerSet"
        }
        assert len(f"{name}-{instances - 1}-0123456789") <= 63
