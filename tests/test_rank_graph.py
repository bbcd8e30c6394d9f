"""The rank graph against arithmetic, and its file."""

from __future__ import annotations

import gzip
import json
import time
from collections import defaultdict
from dataclasses import replace
from functools import reduce
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler import compile_plan
from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import Host
from compiler.cluster.slots import from_inventory
from compiler.cluster.spans import SPANS
from compiler.failures.damage import damage
from compiler.failures.losses import cluster, lost
from compiler.failures.replicas import replicas
from compiler.graph_answers import RankGraph
from compiler.plan import Plan
from compiler.rank_graph import rank_graph, serialised, span_of
from compiler.repairs.standing import Repaired, Standing
from compiler.specs.hardware import Fabric, Node, Nvlink
from compiler.traffic.crossing import Crossing
from compiler.traffic.totals import traffic
from compiler.world import World
from tests.test_traffic import worlds as of_traffic
from tests.worlds import GENERIC, world

LIMIT = "compiler.rank_graph.RANK_LIMIT"
few = st.integers(1, 3)
FOLDED = st.builds(
    lambda tp, cp, pp, ep, etp, more: f"tp{tp}_cp{cp}_pp{pp}_ep{ep}_etp{etp}_adp{ep * etp * more}",
    *[few] * 6,
)
DEGREES = FOLDED | st.builds("tp{}_cp{}_pp{}_ep{}_dp{}".format, *[few] * 5)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any degrees on any shape of nodes, NVLink domains (below, at or above a node), leaves and pods, named or not."""
    gpus = draw(st.integers(1, 8))
    domain = draw(st.integers(1, gpus) | st.integers(1, 4).map(lambda nodes: nodes * gpus) | st.integers(1, 24))
    hardware = replace(
        GENERIC,
        nodes=1,
        node=Node(gpus),
        nvlink=Nvlink(domain, 1.0, 1.0),
        fabric=Fabric("fat_tree", draw(st.none() | few), draw(st.none() | few)),
    )
    made: World = world(draw(DEGREES), hardware=hardware)
    if draw(st.booleans()):
        return made
    where = st.tuples(*[st.sampled_from("abc")] * 3)
    hosts = tuple(Host(f"n{slot}", *draw(where)) for slot in range(made.slots.count))
    return replace(made, slots=from_inventory(hardware, hosts, len(hosts), pin=True))


def spans_agree(made: World) -> bool:
    graph = rank_graph(made)
    found = {kind: [span_of(graph, f"group/{kind}/{i}") for i in range(len(made.groups[kind]))] for kind in made.groups}
    return found == {kind: [SPANS[span] for span in made.spans(kind).tolist()] for kind in made.groups}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.booleans())
def test_walking_the_graph_finds_the_spans_of_arithmetic(made: World, by_slot: bool) -> None:
    with mock.patch(LIMIT, 0 if by_slot else 65536):
        assert spans_agree(made)


def test_the_strategys_groups_and_places() -> None:
    graph = rank_graph(world())
    assert sorted(graph["group/ep/0"]) == sorted(f"rank/{rank}" for rank in range(0, 64, 4))
    assert graph.nodes["group/ep/0"] == {"kind": "group", "group": "ep", "index": 0, "size": 16, "span": "leaf"}
    assert "gpu/97/1" in graph["rank/777"]
    assert set(graph["gpu/97/1"]) == {"rank/777", "domain/97", "node/97"}
    assert "leaf/6" in graph["node/97"]
    assert {"pod/0", "node/96"} <= set(graph["leaf/6"])
    assert set(graph["fabric"]) == {"pod/0"}


def test_above_the_limit_groups_join_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LIMIT, 1024)
    assert "rank/0" in rank_graph(world())
    monkeypatch.setattr(LIMIT, 1023)
    graph = rank_graph(world())
    kinds = {data["kind"] for _, data in graph.nodes(data=True)}
    assert kinds == {"group", "domain", "node", "leaf", "pod", "fabric"}
    assert set(graph["group/ep/0"]) == {f"node/{slot}" for slot in range(8)}
    assert set(graph["group/tp/0"]) == {"node/0"}
    assert graph.nodes["group/ep/0"]["size"] == 16


@pytest.mark.parametrize("limit", [0, 65536])
def test_pinned_hosts_are_named(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LIMIT, limit)
    made = world("tp4_dp4", hardware=replace(GENERIC, nodes=2))
    hosts = (Host("n7", "l", "p", "r"), Host("n9", "m", "p", "r"))
    graph = rank_graph(replace(made, slots=from_inventory(GENERIC, hosts, 2, pin=True)))
    assert [graph.nodes[f"node/{slot}"]["host"] for slot in (0, 1)] == ["n7", "n9"]
    assert [graph.nodes[f"leaf/{leaf}"]["name"] for leaf in (0, 1)] == ["l", "m"]
    assert rank_graph(made).nodes["node/0"]["host"] == ""


@pytest.mark.parametrize("limit", [8, 65536])
def test_the_file_reads_back_as_the_same_graph(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import networkx as nx

    monkeypatch.setattr(LIMIT, limit)
    plan = compile_plan(["parallel=ep4_tp4_pp2_dp1", "hardware.nodes=4", "graph=true", "scheduler=[]"])
    path = plan.write(tmp_path) / "graph.json.gz"
    with gzip.open(path, "rt") as file:
        found = nx.node_link_graph(json.load(file), edges="edges")
    made = rank_graph(plan.world)
    assert nx.utils.graphs_equal(found, made)
    assert list(found) == list(made)
    assert path.read_bytes() == serialised(plan.world)
    assert span_of(found, "group/pp/0") == "leaf"


def test_no_file_unless_it_is_asked_for(tmp_path: Path) -> None:
    plan = compile_plan(["parallel=ep4_tp4_pp2_dp1", "hardware.nodes=4", "scheduler=[]"])
    assert not (plan.write(tmp_path) / "graph.json.gz").exists()


def test_walking_the_graph_finds_the_traffic_of_arithmetic() -> None:
    """Links up from GPUs, nodes, leaves and pods carry what is counted for them."""

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(of_traffic())
    def agree(made: World) -> None:
        found, graph = traffic(made), RankGraph.of(made)
        assert found is not None
        nvlink, pcie, nic, leaf, pod = found.links
        for phase in found.phases:
            whole = reduce(Crossing.__add__, (item.crossing for item in found.carried if item.phase == phase))
            links: dict[str, float] = defaultdict(float)
            for (low, high), sent in graph.traffic(phase).items():
                links[f"{low.split('/')[0]}/{'domain' if high.startswith('domain') else 'up'}"] += sent
                if low.startswith("leaf/"):
                    assert sent == pytest.approx(leaf.carried(whole)[0][int(low.split("/")[1])])
            sums = {one.kind: float(one.carried(whole)[0].sum()) for one in (nvlink, pcie, nic, leaf, pod)}
            wanted = {"gpu/domain": sums["nvlink"], "gpu/up": sums["pcie"] + sums["nic"], "node/up": sums["nic"]}
            wanted |= {"leaf/up": sums["leaf"], "pod/up": sums["pod"]}
            assert dict(links) == pytest.approx({name: sent for name, sent in wanted.items() if sent})

    agree()


def hosts_of(folder: Path, spares: int = 2) -> Plan:
    rows = "".join(f"n{at},l{at % 3},p{at % 2},r{at}\n" for at in range(8 + spares))
    (folder / "hosts.csv").write_text("host,leaf,pod,rack\n" + rows)
    given = ["scheduler=[]", "parallel=ep4_tp4_pp2_dp2", f"launch.spare_nodes={spares}"]
    return compile_plan([*given, f"hardware.inventory={folder / 'hosts.csv'}"])


def test_a_loss_and_a_repair_are_questions_to_the_graph(tmp_path: Path) -> None:
    plan = hosts_of(tmp_path)
    machines, own = cluster(plan.world, of_plan(plan.config.hardware)[8:]), replicas(plan.world)
    for leaf, name in enumerate(plan.world.slots.leaf_names):
        pod = plan.world.slots.pod_names[plan.world.slots.pod[plan.world.slots.leaf == leaf][0]]
        found = damage(plan.world, own, lost(machines, [f"leaf={pod}/{name}"]))
        hit = plan.graph.hit(f"leaf/{leaf}")
        assert hit["ranks"] == {f"rank/{rank}" for rank in found.ranks.tolist()}
        assert hit["groups"] == {f"group/{kind}/{i}" for kind, ids in found.groups[0].items() for i in ids.tolist()}
        assert hit["replicas"] == {f"replica/{replica}" for replica in found.replicas.tolist()}
    standing = Standing(plan)
    for slot, host in enumerate(plan.world.slots.hosts):
        repaired = standing.without(lost(machines, [f"host={host}"]))
        assert isinstance(repaired, Repaired)
        assert f"spare/{repaired.hosts[slot]}" in plan.graph.nearest_spares(f"node/{slot}")


def test_a_large_graph_is_made_and_asked_in_no_time() -> None:
    given = ["parallel=ep16_tp4_pp4_dp64", "hardware.nodes=2048", "workload.global_batch_size=8192", "scheduler=[]"]
    plan = compile_plan(given)
    start = time.process_time()
    assert plan.graph.expanded.number_of_nodes() > 16384
    assert time.process_time() - start < 3
    start = time.process_time()
    assert len(plan.graph.hit("leaf/5")["ranks"]) == 128
    assert time.process_time() - start < 0.2
