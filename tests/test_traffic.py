"""Traffic against a count over all pairs of ranks, one by one; its file; and its rows of a plan."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler import compile_plan
from compiler.cluster.inventory import Host
from compiler.cluster.slots import from_inventory
from compiler.cluster.spans import SPANS
from compiler.costs.comm.collectives import kept
from compiler.specs.hardware import Fabric, Nic, Node, Nvlink
from compiler.traffic.crossing import crossing
from compiler.traffic.matrices import archive
from compiler.traffic.places import Places, places
from compiler.traffic.streams import Stream, streams
from compiler.traffic.totals import Traffic, totals, traffic
from compiler.world import World
from tests.worlds import GENERIC, SERVE, TRAIN, world

few = st.integers(1, 3)
DEGREES = st.builds(
    lambda tp, cp, pp, ep, more: (f"tp{tp}_cp{cp}_pp{pp}_ep{ep}_etp1_adp{ep * more}", tp * cp * pp * ep * more),
    *[few] * 5,
)
WORKLOADS = (
    SERVE,
    TRAIN,
    replace(TRAIN, dispatch="deduplicated", recompute="full"),
    replace(TRAIN, schedule="dualpipe", zero_stage=3),
    replace(TRAIN, distributed_optimizer=False),
)
Counted = dict[tuple[int, int], float]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to 64 ranks of any degrees on nodes, NVLink domains, leaves and pods of any size, named or not."""
    degrees, _ = draw(DEGREES.filter(lambda each: each[1] <= 64))
    gpus = draw(st.integers(1, 8))
    domain = draw(st.integers(1, gpus) | st.integers(1, 4).map(lambda nodes: nodes * gpus))
    hardware = replace(
        GENERIC,
        nodes=1,
        node=Node(gpus),
        nic=Nic(draw(st.sampled_from([1, 2, 4, 8])), 50e9, 5e-6),
        nvlink=Nvlink(domain, 450e9, 1e-6),
        fabric=Fabric("fat_tree", draw(st.none() | few), draw(st.none() | few), draw(st.sampled_from([1.0, 4.0]))),
    )
    made: World = world(degrees, hardware=hardware, workload=draw(st.sampled_from(WORKLOADS)))
    if draw(st.booleans()):
        return made
    where = st.tuples(*[st.sampled_from("abc")] * 3)
    hosts = tuple(Host(f"n{slot}", *draw(where)) for slot in range(made.slots.count))
    return replace(made, slots=from_inventory(hardware, hosts, len(hosts), pin=True))


def counted(made: World, where: Places, stream: Stream) -> Counted:
    """What each pair of ranks sends, group by group and rank by rank, without arrays."""
    found: Counted = defaultdict(float)
    stage, domain = where.stage.tolist(), where.domain.tolist()
    for row in made.groups[stream.kind].tolist():
        n = len(row)
        parts: dict[int, list[int]] = {}
        for rank in row:
            parts.setdefault(domain[rank], []).append(rank)
        blocks = list(parts.values())
        k = len(blocks)
        for at, rank in enumerate(row):
            ahead, back = float(stream.ahead[stage[rank]]), float(stream.back[stage[rank]])
            block = next(b for b, members in enumerate(blocks) if rank in members)
            own = blocks[block]
            place, g = own.index(rank), len(own)
            behind = blocks[(block + 1) % k]
            message = ahead + back
            if stream.op == "send_recv":
                found[rank, row[(at + 1) % n]] += ahead
                found[rank, row[at - 1]] += back
            elif stream.op == "all_to_all" and stream.copies == 0:
                for other in row:
                    found[rank, other] += message / n
            elif stream.op == "all_to_all":
                for other in own:
                    found[rank, other] += message * float(kept(stream.copies, n)) / n
                for members in (members for members in blocks if members is not own):
                    share = float(kept(stream.copies, k)) * len(members) / n
                    found[rank, members[place % len(members)]] += message * share
            else:
                passes = 2 if stream.op == "all_reduce" else 1
                found[rank, own[(place + 1) % g]] += message * passes * (g - 1) / g
                found[rank, behind[place % len(behind)]] += message * passes * (k - 1) / k / g * (k > 1)
    return {pair: sent for pair, sent in found.items() if pair[0] != pair[1] and sent}


def level(where: Places, source: int, target: int) -> str:
    ids = (where.domain, where.slot, where.leaf, where.pod)
    return next((SPANS[1 + at] for at, of in enumerate(ids) if of[source] == of[target]), "fabric")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_bytes_are_those_of_a_count_over_all_pairs(made: World) -> None:
    where, found = places(made), traffic(made)
    assert where is not None
    assert found is not None
    table = np.load(io.BytesIO(archive(found)))
    kinds = {(row.phase, row.kind): row for row in totals(found)}
    for phase, each in streams(made).items():
        whole: Counted = defaultdict(float)
        for kind in dict.fromkeys(stream.kind for stream in each):
            own: Counted = defaultdict(float)
            for stream in (stream for stream in each if stream.kind == kind):
                for pair, sent in counted(made, where, stream).items():
                    own[pair] += sent
                    whole[pair] += sent
            for span in SPANS[1:]:
                sent = sum(value for pair, value in own.items() if level(where, *pair) == span)
                assert kinds[phase, kind].bytes[span] == pytest.approx(sent)
            links_are(found, table, phase, kind, own)
        assert dict(matrix(table, f"{phase}.ranks") if each else {}) == pytest.approx(whole, rel=1e-12, abs=0.51)
        leaves: Counted = defaultdict(float)
        for (source, target), sent in whole.items():
            leaves[int(where.leaf[source]), int(where.leaf[target])] += sent
        assert dict(matrix(table, f"{phase}.leaves") if each else {}) == pytest.approx(leaves, rel=1e-12, abs=0.51)


def matrix(table: dict[str, np.ndarray], name: str) -> Counted:
    """Entries of a sparse one, as scipy reads them."""
    data, indices, indptr = (table[f"{name}.{key}"] for key in ("data", "indices", "indptr"))
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return {(int(row), int(column)): float(sent) for row, column, sent in zip(rows, indices, data, strict=True)}


def links_are(found: Traffic, table: dict[str, np.ndarray], phase: str, kind: str, own: Counted) -> None:
    """Cards and uplinks carry what leaves and enters their nodes, leaves and pods."""
    row = table[f"{phase}.kinds"].tolist().index(kind)
    where, busiest = found.places, []
    crossed = {"nvlink": SPANS[1:2], "pcie": SPANS[2:3], "nic": SPANS[3:], "leaf": SPANS[4:], "pod": SPANS[5:]}
    for link in found.links:
        out, into = np.zeros(len(link.bandwidth)), np.zeros(len(link.bandwidth))
        for (source, target), sent in own.items():
            if level(where, source, target) in crossed[link.kind]:
                out[link.of[source]] += sent
                into[link.of[target]] += sent
        assert table[f"{phase}.{link.kind}.out"][row] == pytest.approx(out, rel=1e-12, abs=0.51)
        assert table[f"{phase}.{link.kind}.in"][row] == pytest.approx(into, rel=1e-12, abs=0.51)
        most = np.maximum(out, into)
        busiest.append(float(np.max(most[most > 0] / link.bandwidth[most > 0], initial=0)))
    total = next(item for item in totals(found) if (item.phase, item.kind) == (phase, kind))
    assert total.seconds == pytest.approx(max(busiest))


def test_ranks_send_what_the_rows_of_communication_say() -> None:
    """Where every group has as many ranks in each domain, and every token goes to each of its experts."""
    plan = compile_plan(["scheduler=[]", "workload=train"])
    sent = {row["kind"]: 0.0 for row in plan.contents["communication"]}
    for row in plan.contents["communication"]:
        sent[row["kind"]] += row["bytes_per_rank"]
    for stream in streams(plan.world)["train"]:
        where = places(plan.world)
        assert where is not None
        most = sum(
            crossing(each, where).sent.sum(axis=0) for each in streams(plan.world)["train"] if each.kind == stream.kind
        )
        assert float(np.max(most)) == pytest.approx(sent[stream.kind]), stream.kind
