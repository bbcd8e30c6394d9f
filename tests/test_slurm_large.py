"""A thousand tasks on a real Slurm, and every process group of a plan in a running PyTorch."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler import compile_plan
from tests import slurm_cluster
from tests.slurm_cluster import Cluster

pytestmark = pytest.mark.slow

HOSTS = [f"node{i:03d}" for i in range(1, 129)]
LEAVES = 8
Rows = dict[int, tuple[str, int, int]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from slurm_cluster.start(len(HOSTS), 8)


def pinned(folder: Path, degrees: str, count: int) -> Path:
    """A plan's folder, pinned to hosts whose leaves take turns: node001 on leaf 1, node002 on leaf 2, and so on."""
    rows = [f"{host},leaf{i % LEAVES},pod0,rack0\n" for i, host in enumerate(HOSTS[:count], 1)]
    (folder / "hosts.csv").write_text("host,leaf,pod,rack\n" + "".join(rows))
    given = [f"hardware.inventory={folder}/hosts.csv", "scheduler=slurm", f"launch.python={sys.executable}"]
    return compile_plan([*given, f"parallel={degrees}"]).write(folder)


def planned(folder: Path) -> Rows:
    """Rank -> (host, slot, local rank), as the table has it."""
    with (folder / "rank_map.csv").open() as file:
        return {
            int(row["rank"]): (row["host"], int(row["slot"]), int(row["local_rank"])) for row in csv.DictReader(file)
        }


def found(cluster: Cluster, script: Path, folder: Path) -> Rows:
    """The same as each task reports it."""
    export = f"--export=RANKPLAN_REPORT={folder}/report"
    job = cluster.submit(script, folder, export)
    cluster.wait(job, seconds=300)
    rows = [json.loads(path.read_text()) for path in (folder / "report").iterdir()]
    return {row["rank"]: (row["host"], row["node_rank"], row["local_rank"]) for row in rows}


@pytest.mark.xdist_group("slurm-large")
def test_1024_tasks_are_where_the_rank_map_says(cluster: Cluster, tmp_path: Path) -> None:
    strategy = pinned(tmp_path, "ep16_tp4_pp4_dp4", 128)
    expected = planned(strategy)
    assert len(expected) == 1024
    assert found(cluster, strategy / "slurm" / "job.sbatch", tmp_path) == expected


@pytest.mark.xdist_group("slurm-large")
def test_without_our_host_file_they_would_not_be(cluster: Cluster, tmp_path: Path) -> None:
    """Slurm counts nodes by number: only the hosts of a leaf's first slot may be right by chance. Each wrong rank says so."""
    quarter = pinned(tmp_path, "ep16_tp4_pp4_dp1", 32)
    script = quarter / "slurm" / "job.sbatch"
    text = script.read_text()
    for old, new in (
        ('    SLURM_HOSTFILE="$run/hostfile.$instance" \\\n', ""),
        ("--distribution=arbitrary", "--distribution=block"),
        ("    --kill-on-bad-exit=1 \\\n    --wait=600 \\\n", "    --kill-on-bad-exit=0 \\\n"),
    ):
        assert old in text
        text = text.replace(old, new)
    script.write_text(text)
    expected, seen = planned(quarter), found(cluster, script, tmp_path)
    assert len(seen) == 256
    assert {rank: row[0] for rank, row in seen.items()} == {rank: HOSTS[rank // 8] for rank in range(256)}
    wrong = sum(seen[rank] != expected[rank] for rank in expected)
    assert wrong > 200
    output = next(tmp_path.glob("rankplan-*.out")).read_text()
    assert output.count(": host of slot ") == wrong


@pytest.mark.xdist_group("slurm-torch")
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_every_group_of_16_ranks_sums_its_own_ranks_on_gloo(tmp_path: Path) -> None:
    """init_groups of the plan folder under the job: the groups of every kind, each reduced and held against the table."""
    program = Path(__file__).with_name("slurm_groups.py")
    hosts = "host,leaf,pod,rack\n" + "".join(f"node00{i},leaf{i % 2},p,r\n" for i in range(1, 5))
    (tmp_path / "hosts.csv").write_text(hosts)
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    plan = compile_plan(
        [
            "parallel=ep4_etp2_tp2_cp2_pp2_adp2",
            "workload=train",
            "hardware.nodes=4",
            "hardware.node.gpus=4",
            "hardware.nic.per_node=4",
            "hardware.nvlink.domain_gpus=4",
            f"hardware.inventory={tmp_path}/hosts.csv",
            "scheduler=slurm",
            f"launch.command=[{sys.executable},{program},{tmp_path}/told]",
            f"launch.python={sys.executable}",
            *(f"launch.environment.{name}={value!r}" for name, value in environment.items()),
        ]
    )
    (tmp_path / "told").mkdir()
    folder = plan.write(tmp_path / "out")
    for cluster in slurm_cluster.start(4, 4):
        job = cluster.submit(folder / "slurm" / "job.sbatch", tmp_path)
        assert cluster.exit_code(job, seconds=280) == 0, (tmp_path / f"rankplan-{job}.out").read_text()
    told: list[dict[str, Any]] = [json.loads((tmp_path / "told" / f"{rank}.json").read_text()) for rank in range(16)]
    for rank, seen in enumerate(told):
        assert (seen["host"], seen["local_rank"]) == (plan.rank_map["host"][rank], rank % 4)
        assert list(seen["sums"]) == list(plan.groups)
        for kind in plan.groups:
            _, ranks = plan.groups.of_rank(kind, rank)
            assert seen["sums"][kind] == int((ranks + 1).sum()), (kind, rank)
