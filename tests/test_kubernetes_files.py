"""The plan in ConfigMaps: whole, within the servers' limits, and readable by a pod's own program."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler import compile_plan
from compiler.rank_map import COLUMNS
from compiler.render import tables
from compiler.runtime import rank_map
from compiler.schedulers.job import job
from compiler.schedulers.kubernetes import plan_files
from compiler.schedulers.runtime_files import launch_json
from tests.controllers import documents
from tests.kubelet import specs, unpack
from tests.kubernetes_plans import kubernetes, made
from tests.plans import files, write

CLOSED = COLUMNS[: COLUMNS.index("experts") + 1]
"""Columns that plan.json holds; those of devices are the cluster's."""


def test_objects_of_16384_ranks_stay_below_a_mebibyte() -> None:
    """And the largest says how it is applied, as kubectl alone would keep a copy that is too large."""
    maps = [item for item in documents(made("jobset", "largest")) if item["kind"] == "ConfigMap"]
    sizes = [len(json.dumps(item)) for item in maps]
    assert max(sizes) < 2**20
    (largest,) = [item for item in maps if len(json.dumps(item)) == max(sizes)]
    assert "kubectl apply --server-side" in largest["metadata"]["annotations"]["rankplan/apply"]
    assert all(item["immutable"] for item in maps)
    text = str(files(made("jobset", "largest"))["kubernetes/configmap.yaml"].text)
    assert text.startswith("# kubectl apply --server-side -f on the folder takes all of it\n")
    assert max(len(part.encode()) for part in text.split("\n---\n")) < 2**20


def test_a_large_table_comes_in_compressed_parts_that_join_again(tmp_path: Path) -> None:
    plan = made("jobset", "largest")
    unpack(plan, specs(plan)[0], tmp_path)
    parts = sorted(tmp_path.glob("rank_map.csv.*.gz"))
    assert [part.name for part in parts] == [f"rank_map.csv.{index:03d}.gz" for index in range(4)]
    joined = gzip.decompress(b"".join(part.read_bytes() for part in parts)).decode()
    assert joined.startswith(",".join(COLUMNS) + "\n")
    assert joined.count("\n") == 16385
    launch = json.loads(launch_json(job(plan)))
    for rank in (0, 4095, 4096, 16383):
        found = rank_map.row(str(tmp_path), launch, rank)
        assert (found["rank"], found["slot"], found["local_rank"]) == (str(rank), str(rank // 8), str(rank % 8))
    rank_map.check(str(tmp_path), launch)


def test_beyond_16384_ranks_no_table_is_shipped() -> None:
    plan = kubernetes("jobset", 2049, 8)
    paths = [file.path for file in plan_files.files(job(plan))]
    assert "plan.json" in paths
    assert not any("rank_map.csv" in path for path in paths)


def test_files_are_dealt_to_further_objects_where_one_is_full(tmp_path: Path) -> None:
    plan = kubernetes("jobset", 2, 2, environment={f"V{index}": "x" * 110_000 for index in range(6)}, name="x" * 90)
    maps = [item for item in documents(plan) if item["kind"] == "ConfigMap"]
    assert len(maps) == 2
    assert len({item["metadata"]["name"] for item in maps}) == 2
    unpack(plan, specs(plan)[0], tmp_path)
    assert (tmp_path / "runtime" / "launch.json").read_text() == files(plan)["runtime/launch.json"].text


def test_other_content_has_another_name() -> None:
    def name(**given: Any) -> str:
        return str(documents(kubernetes("jobset", 2, 2, **given))[0]["metadata"]["name"])

    assert name() == name()
    assert name() != name(environment={"A": "1"})


PLANS = {
    "strategy": ["parallel=ep16_tp4_pp4_dp4"],
    "virtual stages": ["model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=2", "parallel=tp2_pp4_vpp2_adp2", "workload=train", "workload.sequence_length=4096", "workload.global_batch_size=64"],
    "dense first": ["model=deepseek_v3", "hardware=h200", "hardware.nodes=8", "parallel=ep16_tp2_pp2_adp16", "parallel.stages=[31,30]"],
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_row_is_worked_out_as_the_table_has_it(name: str, tmp_path: Path) -> None:
    plan = compile_plan([*PLANS[name], "scheduler=kubernetes_job"])
    folder = plan.write(tmp_path)
    launch = json.loads((folder / "runtime" / "launch.json").read_text())
    for rank in range(0, plan.world_size, 7):
        written = rank_map.row(str(folder), launch, rank)
        computed = rank_map.computed(str(folder), launch, rank)
        assert tuple(computed) == CLOSED
        assert computed == {column: written[column] for column in CLOSED}


def test_the_shipped_table_is_the_plans(tmp_path: Path) -> None:
    plan = compile_plan(["parallel=ep16_tp4_pp4_dp4", "scheduler=jobset"])
    shipped = {file.path: file.value for file in plan_files.files(job(plan))}
    assert shipped["rank_map.csv"] == "".join(tables.rank_map(plan))


@settings(max_examples=20, deadline=None)
@given(rank=st.integers(0, 15), stride=st.permutations([("a", 2), ("b", 2), ("a", 4)]))
def test_a_coordinate_of_an_axis_in_several_runs(rank: int, stride: list[tuple[str, int]]) -> None:
    from compiler.layout.grid import Grid, row_major

    grid = row_major(stride)
    axes = [{"axis": axis.axis, "size": axis.size, "stride": axis.stride} for axis in Grid(grid.axes).axes]
    for name in ("a", "b"):
        assert rank_map.coordinate(axes, name, rank) == int(grid.coordinate(name)[rank])


def row(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "rank_map.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_prints_a_row(tmp_path: Path) -> None:
    folder = write(kubernetes("kubernetes_job", 2, 2), tmp_path)
    rows = [f"{rank},{rank // 2},,{rank % 2},,,,,,,,," for rank in range(4)]
    (folder / "rank_map.csv").write_text("\n".join([",".join(rank_map.COLUMNS), *rows, ""]))
    assert row(folder, "3").stdout.split()[:7] == ["rank", "3", "slot", "1", "host", "local_rank", "1"]
    beyond = row(folder, "4")
    assert (beyond.returncode, beyond.stderr) == (64, "rankplan: no row: rank 4 is not one of the plan's 4\n")
    assert "rankplan: no row: " in row(folder).stderr
