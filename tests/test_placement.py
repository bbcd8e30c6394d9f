"""The search for a placement, against every placement there is, its bound, and what launchers do that sort by name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler import compile_plan
from compiler.commands import check
from compiler.config.load import load_config
from compiler.passes import timed_by
from compiler.placement.score import scores
from compiler.placement.search import Found, search
from compiler.plan import Plan
from compiler.runtime.pack import pack

TRAIN = ("scheduler=[]", "~expect", "workload=train", "hardware=h100_80gb", "hardware.fabric.oversubscription=2")
SMALL = (*TRAIN, "model=qwen3_30b_a3b", "model.num_hidden_layers=8", "workload.global_batch_size=48")


def table(leaves: Sequence[int], *, interleaved: bool = False, racks: int = 1) -> str:
    """Hosts on leaves of these sizes; interleaved, their names go round the leaves."""
    places = [(leaf, at) for leaf, size in enumerate(leaves) for at in range(size)]
    order = sorted(places, key=lambda place: place[::-1]) if interleaved else places
    rows = (f"n{number:04d},leaf{leaf},p,r{leaf // racks}\n" for number, (leaf, _) in enumerate(order))
    return "host,leaf,pod,rack\n" + "".join(rows)


def given_hosts(folder: Path, text: str) -> str:
    path = folder / "hosts.csv"
    path.write_text(text)
    return f"hardware.inventory={path}"


def searched(*overrides: str) -> Found:
    config = load_config(overrides)
    return search(config, timed_by(config)[0])


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[int], int]:
    """Leaves of unequal size, and as many blocks of slots as fit, or fewer."""
    block = draw(st.sampled_from([2, 4, 8]))
    leaves = draw(st.lists(st.integers(1, 3 * block), min_size=2, max_size=24))
    blocks = sum(leaves) // block
    return leaves, block * draw(st.integers(max(1, blocks - 3), max(1, blocks)))


@settings(max_examples=100, deadline=None)
@given(clusters(), st.sampled_from([2, 4, 8]))
def test_packing_keeps_as_many_blocks_whole_as_there_is_room_for(cluster: tuple[list[int], int], block: int) -> None:
    leaves, count = cluster
    places = [(f"h{leaf}.{at}", ("p", f"l{leaf}")) for leaf, size in enumerate(leaves) for at in range(size)]
    count = min(count // block * block, len(places) // block * block)
    found = pack(places, [block], count)
    assert len(set(found)) == len(found) == count
    where = dict(places)
    spread = [len({where[host] for host in found[at : at + block]}) for at in range(0, count, block)]
    assert spread.count(1) == min(count // block, sum(size // block for size in leaves))


def test_blocks_are_whole_within_each_other() -> None:
    """Racks of 18 hosts, two on a leaf: 16 hosts of each rack make a block, and two of those a larger one."""
    places = [(f"h{at:03d}", ("p", f"l{at // 36}", f"r{at // 18}")) for at in range(144)]
    found = pack(places, [32, 16], 128)
    where = dict(places)
    assert all(len({where[host] for host in found[at : at + 16]}) == 1 for at in range(0, 128, 16))
    assert all(len({where[host][:2] for host in found[at : at + 32]}) == 1 for at in range(0, 128, 32))


NODES = {
    "tp8_pp2_ep2_adp2_etp1": 4,
    "tp4_pp2_ep8_adp8_etp1": 8,
    "tp2_pp4_ep4_adp4_etp1": 4,
    "tp4_pp2_ep6_adp6_etp1": 6,  # some groups of ep are within a node
}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(NODES)),
    st.lists(st.integers(1, 4), min_size=2, max_size=4).filter(lambda leaves: 4 <= sum(leaves) <= 8),
    st.booleans(),
)
def test_equals_the_best_of_all_placements(tmp_path: Path, degrees: str, leaves: list[int], interleaved: bool) -> None:
    nodes = NODES[degrees]
    if sum(leaves) < nodes:
        leaves = [*leaves, nodes - sum(leaves)]
    hosts = given_hosts(tmp_path, table(leaves, interleaved=interleaved))
    found = searched(*SMALL, "model.num_experts=24", f"parallel={degrees}", f"hardware.nodes={nodes}", hosts)
    best = min([found.default, *found.better], key=lambda each: each.score.rounded)
    assert found.hosts is not None
    rows = np.array(_different(found, nodes), dtype=np.int64)
    ordered = found.default.ordered
    every = min(scores(ordered.times, ordered.each, found.hosts.network(rows)), key=lambda score: score.rounded)
    assert best.score.rounded <= every.rounded
    assert found.bound.seconds <= best.score.seconds * (1 + 1e-9)
    assert found.bound.communication_s <= min(every.communication_s, best.score.communication_s) * (1 + 1e-9)
    if best.ordered is ordered:
        assert best.score.rounded == every.rounded


def _different(found: Found, nodes: int) -> list[tuple[int, ...]]:
    """Every choice of hosts for slots, one of those that hang alike."""
    assert found.hosts is not None
    seen: dict[tuple[object, ...], tuple[int, ...]] = {}
    for row in itertools.permutations(range(len(found.hosts.hosts)), nodes):
        seen.setdefault(tuple(found.hosts.paths[at] for at in row), row)
        if len(seen) > 20000:
            break
    return list(seen.values())


def test_one_axis_reaches_its_bound(tmp_path: Path) -> None:
    for leaves in ([3, 5, 9, 7, 16, 8, 24], [6] * 12, [11, 13, 1, 1, 38, 8]):
        hosts = given_hosts(tmp_path, table(leaves, interleaved=True))
        given = (
            *TRAIN,
            "model=llama3_1_8b",
            "parallel=tp8_pp8_adp8",
            "workload.global_batch_size=64",
            "hardware.nodes=64",
        )
        found = searched(*given, hosts)
        best = min([found.default, *found.better], key=lambda each: each.score.rounded)
        assert best.score.seconds == pytest.approx(found.bound.seconds, rel=1e-9)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """64 nodes and spares on leaves of unequal size, with names that go round them."""
    folder = tmp_path_factory.mktemp("uneven")
    hosts = given_hosts(folder, table([12, 20, 9, 16, 10], interleaved=True))
    return compile_plan([*UNEVEN, hosts])


UNEVEN = (
    *TRAIN,
    "model=qwen3_30b_a3b",
    "parallel=tp2_pp4_ep8_adp64",
    "workload.global_batch_size=512",
    "placement=best",
    "launch.spare_nodes=3",
)


def test_best_is_never_worse_and_says_by_how_much(uneven: Plan) -> None:
    found = uneven.contents["placement"]
    by_name, default, best = found["compared"]
    assert [row["placement"] for row in found["compared"]] == ["sorted by name", "default", "best"]
    assert best["seconds"] < default["seconds"] <= by_name["seconds"]
    crossing = [sum(row["leaf_bytes"].values()) for row in (best, default, by_name)]
    assert crossing == sorted(crossing)
    assert best["seconds"] == pytest.approx(uneven.contents["projection"]["train"]["step_time_s"])
    assert found["bound_s"] <= best["seconds"]
    assert {kind: row["bytes"] for row in uneven.contents["traffic"] if (kind := row["kind"]) == "ep"}["ep"]["pod"] == 0
    assert best["leaf_bytes"]["ep"] == 0 < default["leaf_bytes"]["ep"]
    assert any("ep touches 1 leaves at most" in why for why in found["why"])


def test_the_plan_is_that_order_and_compiles_to_the_same_bytes(uneven: Plan, tmp_path: Path) -> None:
    folder = uneven.write(tmp_path)
    rows = [line.split(",") for line in (folder / "slots.csv").read_text().splitlines()[1:]]
    assert [row[1] for row in rows] == list(uneven.world.slots.hosts)
    assert len(uneven.world.slots.spares) == 3
    assert 'placement: "best"' in (folder / "config.yaml").read_text()
    assert check.run([str(folder)]) == 0
    assert "| best |" in (folder / "report.md").read_text()
    assert json.loads((folder / "plan.json").read_text())["slots"]["pinned"] is True


def test_an_order_that_the_user_wrote_is_kept(tmp_path: Path) -> None:
    hosts = given_hosts(tmp_path, table([5, 3, 8], interleaved=True))
    base = (*SMALL, "parallel=tp2_pp4_ep4_adp16_etp1", "hardware.nodes=16", "placement=best", hosts)
    plan = compile_plan([*base, "parallel.order=tp-cp-dp-ep-pp"])
    assert plan.contents["order"] == plan.contents["placement"]["order"] == "tp-cp-dp-ep-pp"
    assert plan.contents["placement"]["orders"] == 1


def test_without_hosts_only_orders_are_searched() -> None:
    plan = compile_plan([*SMALL, "parallel=tp2_pp4_ep4_adp16_etp1", "hardware.nodes=16", "placement=best"])
    assert [row["placement"] for row in plan.contents["placement"]["compared"]] == ["default", "best"]
    assert not plan.world.slots.pinned


def test_a_wide_domain_that_experts_leave_is_a_question_of_correctness(tmp_path: Path) -> None:
    given = [
        "scheduler=[]",
        "~expect",
        "model=deepseek_v3",
        "hardware=gb200_nvl72",
        "workload=train",
        "hardware.nodes=64",
    ]
    given += ["parallel=tp1_pp4_ep64_adp64", "parallel.stages=[16,15,15,15]", "workload.global_batch_size=256"]
    given += [given_hosts(tmp_path, table([18] * 4))]
    warned = next(found for found in compile_plan(given).checks if found.id == "ep-in-nvlink")
    assert warned.status == "warn"
    assert "correctness" in warned.message
    assert "placement=best" in warned.fix
    best = compile_plan([*given, "placement=best"])
    assert next(found.status for found in best.checks if found.id == "ep-in-nvlink") == "pass"
