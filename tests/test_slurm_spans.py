"""Spans on a real Slurm with a topology, and slots in the order that was searched."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.plan import Plan
from tests import slurm_cluster
from tests.slurm_cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-small")]

GIVEN = [
    *("scheduler=slurm", "~expect", "model=llama3_1_8b", "parallel=tp2_pp2_adp3", "workload=train"),
    *("workload.global_batch_size=6", "hardware=h100_80gb", "hardware.nodes=6", "hardware.node.gpus=2"),
    *("hardware.nvlink.domain_gpus=2", "hardware.nic.per_node=2", "hardware.fabric.oversubscription=4"),
    *("workload.recompute=full", "workload.zero_stage=3", f"launch.python={sys.executable}"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Eight nodes of two GPUs, on two leaves by turns."""
    yield from slurm_cluster.start(8, 2, leaves=2)


def made(folder: Path, leaf_of: dict[int, str], *overrides: str) -> Plan:
    rows = "".join(f"node{at:03d},{leaf},p,r\n" for at, leaf in leaf_of.items())
    (folder / "hosts.csv").write_text("host,leaf,pod,rack\n" + rows)
    return compile_plan([*GIVEN, f"hardware.inventory={folder / 'hosts.csv'}", *overrides])


def run(cluster: Cluster, plan: Plan, folder: Path) -> tuple[int, str, dict[int, str]]:
    """Exit code, what the job said, and the host of each slot."""
    report = folder / "report"
    script = plan.write(folder, "plan") / "slurm/job.sbatch"
    job = cluster.submit(script, folder / "run", f"--export=RANKPLAN_REPORT={report}")
    code = cluster.exit_code(job)
    rows = [json.loads(path.read_text()) for path in report.iterdir()] if report.exists() else []
    said = (folder / "run" / f"rankplan-{job}.out").read_text()
    return code, said, {row["node_rank"]: row["host"] for row in rows}


TRUE = {at: f"leaf{(at - 1) % 2}" for at in range(1, 9)}
FALSE = {at: f"leaf{(at - 1) // 4}" for at in range(1, 9)}


@pytest.mark.parametrize("pin", ["true", "false"])
def test_ranks_start_in_the_order_that_was_searched(cluster: Cluster, tmp_path: Path, pin: str) -> None:
    given = ("placement=best", f"hardware.pin={pin}", "launch.spare_nodes=2", "launch.spans=require")
    plan = made(tmp_path, TRUE, *given)
    code, said, hosts = run(cluster, plan, tmp_path)
    assert code == 0, said
    assert "are as planned, by the cluster's topology" in said
    leaf = {slot: TRUE[int(host[-3:])] for slot, host in hosts.items()}
    assert sorted(leaf) == list(range(6))
    slots = plan.world.slots
    alike = [[leaf[a] == leaf[b] for a in range(6)] for b in range(6)]
    assert alike == [[bool(slots.leaf[a] == slots.leaf[b]) for a in range(6)] for b in range(6)]
    if pin == "true":
        assert hosts == dict(enumerate(slots.hosts))


@pytest.mark.parametrize(("spans", "code"), [("require", 65), ("warn", 0)])
def test_a_topology_that_is_not_as_planned_is_noticed(cluster: Cluster, tmp_path: Path, spans: str, code: int) -> None:
    """The plan's inventory has four nodes side by side on a leaf, the cluster every other one."""
    plan = made(tmp_path, FALSE, "hardware.pin=true", "launch.spare_nodes=2", f"launch.spans={spans}")
    found, said, hosts = run(cluster, plan, tmp_path)
    assert found == code, said
    assert "spans: " in said
    assert "tp_pp groups span pod or more, planned 2: such as tp_pp/0 on node001 node004" in said
    assert bool(hosts) == (code == 0)
