"""What a plan loses: `python -m compiler.impact`, and the arithmetic behind it against the rank graph and brute force."""

from __future__ import annotations

import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler import compile_plan
from compiler.commands.impact import KEYS, run
from compiler.errors import ConfigError
from compiler.failures.damage import damage
from compiler.failures.leaves import worst_leaf
from compiler.failures.losses import cluster, lost
from compiler.failures.replicas import CLOSED, replicas
from compiler.plan import Plan
from compiler.rank_graph import rank_graph
from tests.command import BARE
from tests.pooled_plans import ON, pools

SMALL = (BARE, "parallel=ep4_tp2_pp2_adp8", "hardware.nodes=4", "hardware.fabric.nodes_per_leaf=1")
GIVEN: dict[str, tuple[str, ...]] = {
    "two replicas": SMALL,
    "reordered": (*SMALL, "parallel.order=tp-pp-cp-ep-dp"),
    "one of four": (BARE, "parallel=ep16_tp4_pp4_dp4"),
    "dense": (BARE, "model=llama3_1_8b", "parallel=tp4_pp2_dp4", "hardware.nodes=4"),
    "instances": (*SMALL, "hardware.nodes=8", "framework.instances=2"),
}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {name: compile_plan(given) for name, given in GIVEN.items()}


def hosts(tmp_path: Path, count: int, spare: int = 0) -> str:
    """Leaves of two that share names over pods of four hosts; racks of two."""
    rows = [f"n{i},l{i // 2 % 2},p{i // 4},r{i // 2}" for i in range(count + spare)]
    (tmp_path / "hosts.csv").write_text("\n".join(["host,leaf,pod,rack", *rows]) + "\n")
    return f"hardware.inventory={tmp_path / 'hosts.csv'}"


def written(tmp_path: Path, *given: str) -> str:
    return str(compile_plan([*given]).write(tmp_path, "plan"))


def hit(capsys: Capture, folder: str, *losses: str) -> dict[str, Any]:
    assert run([folder, "--json", *(["--lost", *losses] if losses else [])]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(folder: str, *losses: str) -> str:
    with pytest.raises(ConfigError) as caught:
        run([folder, "--lost", *losses])
    return str(caught.value)


class TestReplicas:
    @pytest.mark.parametrize("name", GIVEN)
    def test_are_the_components_of_the_groups_that_hold_the_model(self, plans: dict[str, Plan], name: str) -> None:
        import networkx as nx

        world = plans[name].world
        graph: nx.Graph[int] = nx.Graph()
        graph.add_nodes_from(range(world.size))
        for kind in CLOSED:
            for row in world.groups[kind].tolist() if kind in world.groups else ():
                nx.add_path(graph, row)
        wanted = sorted(sorted(part) for part in nx.connected_components(graph))
        found = replicas(world)
        own = found.members[: found.count // world.instances]
        assert own.tolist() == wanted
        assert found.count == world.instances * len(wanted)

    @pytest.mark.parametrize("name", GIVEN)
    def test_a_column_holds_the_same_in_each(self, plans: dict[str, Plan], name: str) -> None:
        plan = plans[name]
        members = replicas(plan.world).members % plan.world_size
        for column in ("tp", "pp", "layers", "experts", *(("etp", "ep") if "ep" in plan.groups else ())):
            held = plan.rank_map[column][members]
            assert (held == held[0]).all(), column


class TestDamage:
    @pytest.mark.parametrize(("name", "slot"), list(product(GIVEN, (0, 3))))
    def test_agrees_with_the_rank_graph(self, plans: dict[str, Plan], name: str, slot: int) -> None:
        """What a node is joined to: its GPUs' ranks, and their groups."""
        world = plans[name].world
        machines = cluster(world, ())
        found = damage(world, replicas(world), lost(machines, [f"slot={slot}"]))
        if world.instances > 1:
            assert (found.ranks // 8 == slot).all()
            return
        graph = rank_graph(world)
        gpus = [n for n in graph[f"node/{slot}"] if graph.nodes[n]["kind"] == "gpu"]
        ranks = [n for gpu in gpus for n in graph[gpu] if graph.nodes[n]["kind"] == "rank"]
        groups = {n for rank in ranks for n in graph[rank] if graph.nodes[n]["kind"] == "group"}
        assert sorted(f"rank/{rank}" for rank in found.ranks.tolist()) == sorted(ranks)
        assert {f"group/{kind}/{i}" for kind, ids in found.groups[0].items() for i in ids.tolist()} == groups

    def test_weights_are_gone_with_the_last_rank_that_has_them(self, plans: dict[str, Plan]) -> None:
        world = plans["dense"].world
        machines = cluster(world, ())
        one = damage(world, replicas(world), lost(machines, ["slot=0"]))
        assert one.survives
        both = damage(world, replicas(world), lost(machines, ["slot=0", "slot=1"]))  # all replicas of stage 0
        assert both.lost_stages.tolist() == [0]
        assert not both.survives
        assert both.whole.tolist() == []

    def test_a_query_of_sixteen_thousand_ranks_takes_no_time(self) -> None:
        given = ["parallel=ep16_tp4_pp4_dp64", "hardware.nodes=2048", "workload.global_batch_size=8192"]
        world = compile_plan([BARE, *given]).world
        machines = cluster(world, ())
        start = time.process_time()
        found = damage(world, replicas(world), lost(machines, ["leaf=5"]))
        assert time.process_time() - start < 0.2
        assert len(found.ranks) == 128


class TestWorstLeaf:
    @pytest.mark.parametrize("name", GIVEN)
    def test_takes_the_replicas_that_have_a_rank_on_it(self, plans: dict[str, Plan], name: str) -> None:
        world = plans[name].world
        machines, own = cluster(world, ()), replicas(world)
        counts = [
            len({int(own.of[rank]) for rank in range(len(own.of)) if world.slots.leaf[machines.slot[rank]] == leaf})
            for leaf in range(len(world.slots.leaf_names))
        ]
        found = worst_leaf(machines, own)
        assert found.replicas == max(counts)
        assert found.leaf == world.slots.leaf_names[int(np.argmax(counts))]
        assert found.packed <= found.replicas <= found.spread <= found.count

    def test_packing_and_spreading_of_the_strategy(self, plans: dict[str, Plan]) -> None:
        """Replicas of 32 nodes, leaves of 16: the default order splits each over four stages of eight nodes."""
        found = worst_leaf(cluster(plans["one of four"].world, ()), replicas(plans["one of four"].world))
        assert (found.replicas, found.count, found.packed, found.spread) == (2, 4, 1, 4)


class TestImpact:
    def test_lists_what_is_hit_and_what_survives(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *SMALL, hosts(tmp_path, 4, 1), "launch.spare_nodes=1", "hardware.pin=true")
        found = hit(capsys, folder, "host=n1")
        assert set(KEYS) <= set(found)
        assert found["ranks"] == list(range(8, 16))
        assert (found["nodes"], found["stages"], found["replicas"]) == (["n1"], [0], [1])
        assert "ep/2" in found["groups"]
        assert found["experts"] == list(range(64))
        left = found["survives"]
        assert (left["ranks"], left["nodes"], left["replicas"], left["spares"]) == (24, 3, [0], ["n4"])
        assert left["weights"]
        assert found["worst_leaf"]["count"] == 2

    @pytest.mark.parametrize(
        ("loss", "ranks"),
        [
            ("gpu=n1/3", [11]),
            ("leaf=p0/l0", list(range(16))),
            ("leaf=l0", list(range(16))),
            ("pod=p0", list(range(32))),
            ("domain=2", list(range(16, 24))),
            ("slot=3", list(range(24, 32))),
            ("host=n4", []),
        ],
    )
    def test_by_every_name(self, tmp_path: Path, capsys: Capture, loss: str, ranks: list[int]) -> None:
        folder = written(tmp_path, *SMALL, hosts(tmp_path, 4, 1), "launch.spare_nodes=1", "hardware.pin=true")
        if loss == "leaf=l0":
            assert "write leaf=p0/l0 or leaf=p1/l0" in refused(folder, loss)  # the spare's pod has one of that name too
            return
        assert hit(capsys, folder, loss)["ranks"] == ranks

    def test_several_losses_are_one(self, tmp_path: Path, capsys: Capture) -> None:
        found = hit(capsys, written(tmp_path, *SMALL), "slot=0", "gpu=3/0")
        assert found["ranks"] == [*range(8), 24]
        assert found["nodes"] == [0, 3]

    def test_without_a_loss_the_worst_leaf_alone(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *SMALL)
        assert hit(capsys, folder)["ranks"] == []
        assert run([folder]) == 0
        said = capsys.readouterr().out
        assert "worst leaf: leaf 0 of pod 0 (1 node) takes 1 of 2 replicas with it; with each" in said
        assert "ranks  " not in said

    def test_says_it_to_people(self, tmp_path: Path, capsys: Capture) -> None:
        assert run([written(tmp_path, *SMALL), "--lost", "leaf=0", "leaf=1"]) == 0
        said = capsys.readouterr().out
        assert "ranks     16 of 32: 0-15" in said
        assert "stages    1 of 2: 0" in said
        assert "some weights are on no rank any more: only a checkpoint has them" in said

    def test_instances_are_counted_on(self, tmp_path: Path, capsys: Capture) -> None:
        found = hit(capsys, written(tmp_path, *GIVEN["instances"]), "slot=5")
        assert found["ranks"] == list(range(40, 48))
        assert found["groups"]
        assert all(group.startswith("1:") for group in found["groups"])

    def test_pools_are_told_apart(self, tmp_path: Path, capsys: Capture) -> None:
        folder = str(compile_plan([*ON, pools()]).write(tmp_path, "plan"))
        found = hit(capsys, folder, "decode:slot=0")
        assert found["ranks"] == [f"decode:{rank}" for rank in range(8)]
        assert set(found["pools"]) == {"prefill", "decode"}
        assert run([folder, "--lost", "decode:slot=0"]) == 0
        assert "nodes     1: 0\n" in capsys.readouterr().out
        assert "write prefill:slot=0 or decode:slot=0" in refused(folder, "slot=0")
        assert "--lost both:slot=0 says nothing" in refused(folder, "both:slot=0")
        assert "write prefill:slot=0 to prefill:slot=" in refused(folder, "prefill:slot=99")
        assert "write prefill:slot=0 to prefill:slot=" in refused(folder, "host=n1")

    @pytest.mark.parametrize(
        ("loss", "said"),
        [
            ("host=n9", "host=n9 is none of the plan's 5 hosts ; write host="),
            ("host=n1,n2", "host=n1,n2 is no host, which has no comma in its name ; write --lost host=n1 host=n2"),
            ("leaf=x", "leaf=x is none of the plan's"),
            ("pod=x", "pod=x is none of the plan's 1 pods ; write one of p0"),
            ("domain=77", "domain=77: 77 is none of 0 to 3 ; write domain=0 to domain=3"),
            ("domain=x", "domain=x: x is none of 0 to 3"),
            ("gpu=n1", "gpu=n1: no GPU of the host is named ; write gpu=n1/0 to gpu=n1/7"),
            ("gpu=n1/8", "gpu=n1/8: 8 is none of 0 to 7"),
            ("hots=n1", "--lost hots=n1 says nothing that can be lost ; did you mean host=...?"),
            ("host=", "--lost host= says nothing that can be lost"),
        ],
    )
    def test_a_loss_of_nothing_is_said(self, tmp_path: Path, loss: str, said: str) -> None:
        folder = written(tmp_path, *SMALL, hosts(tmp_path, 4, 1), "launch.spare_nodes=1", "hardware.pin=true")
        assert said in refused(folder, loss)

    def test_hosts_of_a_plan_that_is_not_bound(self, tmp_path: Path) -> None:
        said = refused(written(tmp_path, *SMALL), "host=n1")
        assert (
            "host=n1: the plan's slots are not bound to hosts, so none is known by name ; write slot=0 to slot=3"
            in said
        )
