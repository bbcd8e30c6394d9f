"""`python -m compiler.show`: its answers against the tables of the plan folder."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from compiler.commands.show import run

HOSTS = "\n".join(["host,leaf,pod,rack"] + [f"node{i:03d},l{i // 4 % 2},p{i // 8},r{i // 2}" for i in range(17)])
SMALL = ("parallel=ep4_tp4_pp2_adp4", "hardware.nodes=4")
PLANS: dict[str, tuple[str, ...]] = {
    "strategy": (),
    "dense": ("model=llama3_1_8b", "parallel=tp8_cp2_pp2_dp2", "hardware=h100_80gb", "hardware.nodes=8"),
    "chunked": ("parallel=ep8_tp4_pp4_vpp2_dp4", "workload=train", "hardware.nodes=64"),
    "reordered": (*SMALL, "parallel.order=tp-pp-cp-ep-dp"),
    "racks": (
        "parallel=ep4_tp4_pp2_adp16",
        "hardware.nodes=16",
        "hardware.nvlink.domain_gpus=16",
        "launch.spare_nodes=1",
    ),
    "quarters": (*SMALL, "hardware.nvlink.domain_gpus=2", "hardware.fabric.nodes_per_leaf=1"),
    "instances": (*SMALL, "hardware.nodes=16", "framework.instances=4"),
    "shared": (*SMALL, "parallel=tp4", "hardware.nodes=1", "framework.instances=2"),
}


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of one of PLANS, compiled once."""
    out = tmp_path_factory.mktemp("show")
    (out / "hosts.csv").write_text(HOSTS)

    def folder(name: str) -> Path:
        if not (out / name).exists():
            table = [f"hardware.inventory={out / 'hosts.csv'}"] * (name == "racks")
            compile_plan(["scheduler=[]", *PLANS[name], *table, f"name={name}"]).write(out)
        return out / name

    return folder


Folder = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]


def asked(capsys: Capture, folder: Path, *queries: str) -> list[dict[str, Any]]:
    assert run([str(folder), "--json", *queries]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    answers: list[dict[str, Any]] = found["answers"]
    return answers


def printed(capsys: Capture, folder: Path, *args: str) -> list[str]:
    assert run([str(folder), *args]) == 0
    return capsys.readouterr().out.splitlines()


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", PLANS)
def test_a_rank_is_what_the_tables_say(plan: Folder, capsys: Capture, name: str) -> None:
    folder = plan(name)
    rows, groups, slots = (table(folder, f"{file}.csv") for file in ("rank_map", "nccl_groups", "slots"))
    for rank in (0, len(rows) // 2 + 1, len(rows) - 1):
        (found,) = asked(capsys, folder, f"rank={rank}")
        place, row = found["places"][0], rows[rank]
        assert {key: str(place[key]) for key in ("rank", "slot", "host", "local_rank")} == {
            key: row[key] for key in ("rank", "slot", "host", "local_rank")
        }
        assert {key: place[key] for key in ("leaf", "pod")} == {
            key: slots[place["slot"]][key] for key in ("leaf", "pod")
        }
        assert (found["layers"], found["experts"]) == (row["layers"], row["experts"])
        assert all(str(value) == row[axis] for axis, value in found["coordinates"].items())
        mine = [item for item in groups if str(rank) in item["ranks"].split()]
        assert [
            (item["group"], str(item["size"]), item["span"], " ".join(map(str, item["ranks"])))
            for item in found["groups"]
        ] == [(f"{item['kind']}/{item['index']}", item["size"], item["span"], item["ranks"]) for item in mine]


@pytest.mark.parametrize("name", PLANS)
def test_a_group_is_what_the_tables_say(plan: Folder, capsys: Capture, name: str) -> None:
    folder = plan(name)
    rows, groups, slots = (table(folder, f"{file}.csv") for file in ("rank_map", "nccl_groups", "slots"))
    chosen = {item["kind"]: item for item in groups}.values()  # the last group of each kind
    answers = asked(capsys, folder, *(f"group={item['kind']}/{item['index']}" for item in chosen))
    for item, found in zip(chosen, answers, strict=True):
        at = [int(rows[int(rank)]["slot"]) for rank in item["ranks"].split()]
        assert [str(member["place"]["rank"]) for member in found["members"]] == item["ranks"].split()
        assert [member["place"]["slot"] for member in found["members"]] == at
        assert (str(found["size"]), found["span"]) == (item["size"], item["span"])
        assert found["nodes"] == len(set(at))
        assert found["leaves"] == len({(slots[slot]["pod"], slots[slot]["leaf"]) for slot in at})
        assert found["pods"] == len({slots[slot]["pod"] for slot in at})


@pytest.mark.parametrize("name", [name for name in PLANS if name not in ("instances", "shared")])
def test_a_slot_is_what_the_tables_say(plan: Folder, capsys: Capture, name: str) -> None:
    folder = plan(name)
    rows, groups = table(folder, "rank_map.csv"), table(folder, "nccl_groups.csv")
    spans = ("gpu", "nvlink", "node", "leaf", "pod", "fabric")
    (found,) = asked(capsys, folder, "slot=3")
    ranks = {row["rank"] for row in rows if row["slot"] == "3"}
    assert {str(item["place"]["rank"]) for item in found["ranks"]} == ranks
    for held in found["groups"]:
        mine = [item for item in groups if item["kind"] == held["kind"] and ranks & set(item["ranks"].split())]
        inside = [int(item["index"]) for item in mine if ranks >= set(item["ranks"].split())]
        assert held["inside"] == inside
        assert held["leaving"] == [int(item["index"]) for item in mine if int(item["index"]) not in inside]
        assert held["worst_span"] == max((item["span"] for item in mine), key=spans.index)


def test_rank_777_of_the_strategy_as_text(plan: Folder, capsys: Capture) -> None:
    lines = printed(capsys, plan("strategy"), "rank=777")
    assert lines[0] == "strategy, 1024 ranks"
    assert "  place           slot 97, host not bound, local rank 1, leaf 6, pod 0" in lines
    assert "  coordinates     tp 1, cp 0, dp 2, pp 3, etp 1, ep 2, edp 0" in lines
    assert "  layers          12-15" in lines
    assert "  experts         8-11" in lines
    assert "  previous stage  rank 521 over pod: slot 65, host not bound, local rank 1, leaf 4, pod 0" in lines
    assert "  next stage      none" in lines
    assert "  ep/49        2         16    leaf    1 nvlink, 14 leaf           769 773 777 781 785 789 .. 829" in lines
    (memory,) = [line for line in lines if line.startswith("  memory ")]
    assert "on rank 768, the fullest of stage 3: weights 0.703 GB" in memory


def test_the_collectives_are_those_of_the_ranks_groups(plan: Folder, capsys: Capture) -> None:
    contents = json.loads((plan("strategy") / "plan.json").read_text())
    (rank,) = asked(capsys, plan("strategy"), "rank=0")
    assert rank["collectives"] == contents["communication"]
    (group,) = asked(capsys, plan("strategy"), "group=ep/0")
    assert [(row["phase"], row["op"], row["role"], row["count"]) for row in group["collectives"]] == [
        (phase, "all_to_all", role, 4) for phase in ("prefill", "decode") for role in ("dispatch", "combine")
    ]
    assert "  no collectives" in printed(capsys, plan("strategy"), "group=dp/0")


def test_all_prints_long_lists_whole(plan: Folder, capsys: Capture) -> None:
    short, long = (printed(capsys, plan("strategy"), "group=dp/0", *args) for args in ([], ["--all"]))
    assert any(line.split() == [".."] * 8 for line in short)
    assert len(long) - len(short) == 64 - 32
    short, long = (printed(capsys, plan("strategy"), "rank=777", *args) for args in ([], ["--all"]))
    assert any(line.endswith(" 769 773 777 781 785 789 .. 829") for line in short)
    assert any(line.endswith(" " + " ".join(map(str, range(769, 830, 4)))) for line in long)


def test_links_of_a_group_and_neighbours(plan: Folder, capsys: Capture) -> None:
    """Racks of two nodes share NVLink: 16 GPUs."""
    group, rank = asked(capsys, plan("racks"), "group=dp/0", "rank=5")
    assert [item["link"] for item in group["members"]] == [
        *["nvlink", "nvlink", "nvlink", "leaf"],
        *["nvlink", "nvlink", "nvlink", "pod"],
        *["nvlink", "nvlink", "nvlink", "leaf"],
        *["nvlink", "nvlink", "nvlink", "pod"],
    ]
    assert group["domains"] == 4
    assert rank["next_stage"]["place"]["host"] == "node008"
    assert rank["next_stage"]["link"] == "fabric"
    peers = {item["group"].split("/")[0]: item["peers"] for item in rank["groups"]}
    assert peers["dp"] == {"nvlink": 3, "leaf": 4, "pod": 8}
    assert peers["cp"] == {}


def test_with_chunks_the_pipeline_is_a_ring(plan: Folder, capsys: Capture) -> None:
    first, last = asked(capsys, plan("chunked"), "rank=72", "rank=456")
    assert first["layers"] == "0-1;8-9"
    assert first["previous_stage"]["place"]["rank"] == 456
    assert last["next_stage"]["place"]["rank"] == 72


def test_a_host_a_slot_and_a_spare(plan: Folder, capsys: Capture) -> None:
    host, slot, spare = asked(capsys, plan("racks"), "host=node003", "slot=3", "host=node016")
    assert host["query"] == "host=node003"
    assert {**host, "query": ""} == {**slot, "query": ""}
    assert spare == {"query": "host=node016", "host": "node016"}
    lines = printed(capsys, plan("racks"), "host=node003", "host=node016")
    assert "  host  node003" in lines
    assert "  etp_ep     0         nvlink      -                        1" in lines
    assert lines[-1] == "  a spare: no rank of the plan is on this host"


def test_every_instance_has_its_place(plan: Folder, capsys: Capture) -> None:
    rank, slot = asked(capsys, plan("instances"), "rank=5", "slot=7")
    assert [(place["instance"], place["slot"]) for place in rank["places"]] == [(0, 0), (1, 4), (2, 8), (3, 12)]
    assert [(item["place"]["instance"], item["place"]["rank"]) for item in slot["ranks"]] == [
        (1, rank) for rank in range(24, 32)
    ]
    assert "  instance 3      slot 12, host not bound, local rank 5, leaf 0, pod 0" in printed(
        capsys, plan("instances"), "rank=5"
    )


def test_instances_that_are_left_out_are_marked(tmp_path: Path, capsys: Capture) -> None:
    folder = compile_plan([*SMALL, "hardware.nodes=48", "framework.instances=12"]).write(tmp_path, "many")
    lines = [line.split()[:2] for line in printed(capsys, folder, "rank=5")]
    at = lines.index(["..."])
    assert (lines[at - 1], lines[at + 1]) == (["instance", "6"], ["instance", "11"])


def test_instances_may_share_a_slot(plan: Folder, capsys: Capture) -> None:
    (slot,) = asked(capsys, plan("shared"), "slot=0")
    assert [(item["place"]["instance"], item["place"]["rank"]) for item in slot["ranks"]] == [
        (instance, rank) for instance in (0, 1) for rank in range(4)
    ]
    assert [(held["instance"], held["inside"]) for held in slot["groups"] if held["kind"] == "tp"] == [
        (0, [0]),
        (1, [0]),
    ]


def test_only_the_closed_form_is_read(plan: Folder, capsys: Capture, tmp_path: Path) -> None:
    kept = ("plan.json", "slots.csv", "config.yaml")
    for name in kept:
        shutil.copy(plan("strategy") / name, tmp_path)
    assert asked(capsys, tmp_path, "rank=777") == asked(capsys, plan("strategy"), "rank=777")


def test_a_dense_plan_has_no_experts(plan: Folder, capsys: Capture) -> None:
    lines = printed(capsys, plan("dense"), "rank=5", "slot=0")
    assert "  experts         none" in lines
    assert lines[-1].split() == ["tp_cp", "0", "leaf", "-", "0"]
