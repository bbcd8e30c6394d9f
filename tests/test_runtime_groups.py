"""Process groups and meshes from a plan folder, on 16 real processes; and what a rank outside the plan is told."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler import Plan, compile_plan
from compiler.runtime import groups
from compiler.runtime.groups import PlanError

OVERRIDES = ["parallel=ep4_etp2_tp2_cp2_pp2_adp2", "hardware.nodes=2", "workload=train", "scheduler=local"]
UNSORTED = {"kind": "test.unsorted", "size": 4, "members": [[2, 8], [2, 1]], "bases": [[4, 2]]}
PARTIAL = {"kind": "test.partial", "size": 2, "members": [[2, 8]], "bases": [[2, 1]]}
PARTIAL_ALONE = {"kind": "test.alone", "size": 1, "members": [], "bases": [[2, 5]]}
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan(OVERRIDES)


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan with one more kind, whose ranks are not in ascending order."""
    written = plan.write(tmp_path_factory.mktemp("out"))
    contents = json.loads((written / "plan.json").read_text())
    contents["groups"] += [UNSORTED, PARTIAL, PARTIAL_ALONE]
    (written / "plan.json").write_text(json.dumps(contents))
    return written


@pytest.fixture(scope="module")
def told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of 16 processes saw."""
    out, program = tmp_path_factory.mktemp("told"), Path(__file__).with_name("groups_ranks.py")
    command = [sys.executable, str(program), str(folder), str(out)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(16)]


@needs_torch
@pytest.mark.slow
def test_every_group_of_every_kind_sums_its_own_ranks(plan: Plan, told: list[dict[str, Any]]) -> None:
    own = [*plan.groups, "test.unsorted"]
    assert all(list(seen["groups"])[: len(own)] == own for seen in told)
    for kind in plan.groups:
        for rank, seen in enumerate(told):
            index, ranks = plan.groups.of_rank(kind, rank)
            desc = f"{kind}/{index}" if len(ranks) > 1 else f"self/{rank}"
            total = int((ranks + 1).sum())
            assert seen["groups"][kind] == {"desc": desc, "sum": total, "ranks": ranks.tolist()}, (kind, rank)


@needs_torch
@pytest.mark.slow
def test_a_kind_that_leaves_ranks_out_is_theirs_alone(told: list[dict[str, Any]]) -> None:
    assert [rank for rank, seen in enumerate(told) if "test.partial" in seen["groups"]] == [0, 1, 8, 9]
    assert told[9]["groups"]["test.partial"] == {"desc": "test.partial/1", "sum": 12, "ranks": [1, 9]}
    assert [rank for rank, seen in enumerate(told) if "test.alone" in seen["groups"]] == [0, 5]
    assert told[5]["groups"]["test.alone"]["ranks"] == [5]


@needs_torch
@pytest.mark.slow
def test_ranks_stay_in_the_declared_order(told: list[dict[str, Any]]) -> None:
    assert told[9]["groups"]["test.unsorted"]["ranks"] == [0, 8, 1, 9]
    assert told[14]["groups"]["test.unsorted"]["ranks"] == [6, 14, 7, 15]


@needs_torch
@pytest.mark.slow
def test_a_mesh_has_the_coordinates_of_the_rank_map(plan: Plan, told: list[dict[str, Any]]) -> None:
    assert list(told[0]["coordinates"]["attention"]) == ["pp", "dp", "cp", "tp"]
    assert list(told[0]["coordinates"]["expert"]) == ["pp", "edp", "ep", "etp"]
    for rank, seen in enumerate(told):
        for coordinates in seen["coordinates"].values():
            assert coordinates == {axis: int(plan.rank_map[axis][rank]) for axis in coordinates}


def test_tables_are_those_of_the_plan(plan: Plan, folder: Path) -> None:
    rows = groups.chosen(groups.read(str(folder)), ["pp", "ep"])
    assert [row["kind"] for row in rows] == ["pp", "ep"]
    for row in rows:
        found = [[base + member for member in groups.offsets(row["members"])] for base in groups.offsets(row["bases"])]
        assert found == plan.groups[row["kind"]].tolist()


def test_an_unknown_kind_names_those_there_are(folder: Path) -> None:
    with pytest.raises(PlanError, match="no groups of kind eq; it has tp, cp, dp"):
        groups.init_groups(str(folder), kinds=["eq"])


@needs_torch
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "8", "RANK": "3"}, r"has 16 ranks, this job 8"),
        ({"WORLD_SIZE": "16", "RANK": "16"}, r"has ranks 0 to 15, this is 16"),
        ({"WORLD_SIZE": "16"}, r"RANK: expected a number, found ''; start this with the plan's launcher"),
    ],
)
def test_a_rank_outside_the_plan_is_told_so(
    folder: Path, environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PlanError, match=message):
        groups.init_groups(str(folder))


@needs_torch
def test_a_job_that_counts_ranks_otherwise_is_told_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed as dist

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 16)
    monkeypatch.setattr(dist, "get_rank", lambda: 5)
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(PlanError, match=r"RANK is 3, and torch.distributed calls this rank 5"):
        groups.init_groups(str(folder))


def test_a_folder_must_be_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANKPLAN_PLAN", raising=False)
    with pytest.raises(PlanError, match="no plan folder: give one, or set RANKPLAN_PLAN"):
        groups.init_groups()
    monkeypatch.setenv("RANKPLAN_PLAN", str(tmp_path))
    with pytest.raises(PlanError, match=r"plan.json cannot be read"):
        groups.init_groups()
    (tmp_path / "plan.json").write_text('{"schema": "rankplan/9"}')
    with pytest.raises(PlanError, match=r"expected rankplan/1, found rankplan/9"):
        groups.init_groups()


@needs_torch
def test_a_compound_axis_is_no_mesh(folder: Path, tmp_path: Path) -> None:
    contents = json.loads((folder / "plan.json").read_text())
    halves = [{"axis": "dp", "size": 2, "stride": 1}, {"axis": "tp", "size": 2, "stride": 2}]
    contents["grids"]["attention"] = [*halves, {"axis": "dp", "size": 4, "stride": 4}]
    (tmp_path / "plan.json").write_text(json.dumps(contents))
    with pytest.raises(PlanError, match="axis dp of the attention grid is compound"):
        groups.device_mesh(str(tmp_path))
    with pytest.raises(PlanError, match="there is no grid sparse; the plan has attention, expert"):
        groups.device_mesh(str(tmp_path), "sparse")


@pytest.mark.parametrize("value", ["", "-1", "1.5", "\u00b2", "\u0663", "9" * 5000])
def test_a_rank_that_is_no_number_is_told_so(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", value)
    with pytest.raises(PlanError, match="RANK: expected a number, found"):
        groups.number("RANK")
