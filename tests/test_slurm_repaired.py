"""A repaired plan on a real Slurm, one of whose nodes is down."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.commands import repair
from tests import slurm_cluster
from tests.slurm_cluster import Cluster, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-small")]

HOSTS = "host,leaf,pod,rack\n" + "".join(f"node{i:03d},leaf{i % 2},p,r\n" for i in range(1, 7))
"""Slots run by leaf: 2, 4, 6, then 1; nodes 3 and 5 are spares."""
GIVEN = [
    "scheduler=slurm",
    "parallel=tp4_dp4",
    "model=llama3_1_8b",
    "workload.global_batch_size=4",
    "hardware.node.gpus=4",
    "hardware.nvlink.domain_gpus=4",
    "hardware.nic.per_node=4",
    f"launch.python={sys.executable}",
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Six nodes of four GPUs, on two leaves by turns."""
    yield from slurm_cluster.start(6, 4, leaves=2)


def test_runs_without_the_node_that_is_down(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text(HOSTS)
    hosts = [f"hardware.inventory={tmp_path / 'hosts.csv'}", "launch.spare_nodes=2"]
    folder = compile_plan([*GIVEN, *hosts]).write(tmp_path, "plan")
    cluster.down("node004")
    waits = cluster.submit(folder / "slurm/job.sbatch", tmp_path / "before")
    until(lambda: "node004" in cluster.run("scontrol", "show", "job", waits), "the plan to wait for its node", 30)
    assert cluster.field(waits, "JobState") == "PENDING"
    cluster.run("scancel", waits)
    assert repair.run([str(folder), "--lost", "host=node004", "--out", str(tmp_path / "new")]) == 0
    report = tmp_path / "report"
    job = cluster.submit(tmp_path / "new/slurm/job.sbatch", tmp_path / "run", f"--export=RANKPLAN_REPORT={report}")
    assert cluster.exit_code(job) == 0, (tmp_path / "run" / f"rankplan-{job}.out").read_text()
    rows = [json.loads(path.read_text()) for path in report.iterdir()]
    slots = ["node002", "node003", "node006", "node001"]
    assert {row["rank"]: (row["host"], row["node_rank"], row["local_rank"]) for row in rows} == {
        rank: (slots[rank // 4], rank // 4, rank % 4) for rank in range(16)
    }


def test_launchers_of_nvrx_outlive_each_other_and_one_waits_on_a_spare(cluster: Cluster, tmp_path: Path) -> None:
    """A stand-in for ft_launcher: one a node, whose number is the slot; that of slot 1 fails, and the others go on."""
    said = tmp_path / "said"
    program = f"""#!{sys.executable}
import os, sys, time
number = os.environ["CROSS_SLURM_PROCID"]
time.sleep(0 if number == "1" else 3)
with open({str(said)!r}, "a") as file:
    file.write(" ".join([number, os.environ["SLURMD_NODENAME"], os.environ["SLURM_TASKS_PER_NODE"], sys.argv[1]]) + "\\n")
sys.exit(number == "1")
"""
    (tmp_path / "ft_launcher").write_text(program)
    (tmp_path / "ft_launcher").chmod(0o755)
    given = [*GIVEN, "hardware.nodes=4", "launch.spare_nodes=1", "launch.max_restarts=0"]
    folder = compile_plan([*given, f"launch.command=[{tmp_path / 'ft_launcher'},train.py]"]).write(tmp_path, "plan")
    job = cluster.submit(folder / "slurm/job.sbatch", tmp_path / "run", "--export=RANKPLAN_STANDBY_S=0")
    assert cluster.exit_code(job) == 1, (tmp_path / "run" / f"rankplan-{job}.out").read_text()
    hosts = (tmp_path / f"run/rankplan-{job}/hostfile.0").read_text().split()
    expected = [f"{number} {host} 1(x5) --nnodes=4:5" for number, host in enumerate(hosts)]
    assert sorted(said.read_text().splitlines()) == expected
    assert len(hosts) == 5
