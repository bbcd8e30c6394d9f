"""Segments of a Slurm request, and the slots and hosts that follow them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compiler import Plan, compile_plan
from compiler.cluster.spans import SPANS
from compiler.schedulers.registry import artifacts


def step_time_s(made: Plan) -> float:
    return float(made.to_dict()["projection"]["train"]["step_time_s"])


SEGMENTED = (
    "framework=none model=kimi_k2 workload=train hardware=gb200_nvl72 hardware.nodes=64 parallel=pp8_adp32_ep32_etp1 "
    "parallel.stages=[8,8,8,8,8,7,7,7] workload.recompute=full workload.global_batch_size=512 scheduler=slurm "
    "site=slurm_gb200 launch.image=/x.sqsh"
).split()


@pytest.mark.parametrize("size", [8, 16])
def test_slots_follow_the_segments_that_are_asked_for(size: int) -> None:
    made = compile_plan([*SEGMENTED, f"scheduler.slurm.segment={size}"])
    assert f"#SBATCH --segment={size}\n" in next(str(item.text) for item in artifacts(made) if "sbatch" in item.path)
    assert [row.tolist() for row in np.unique(made.world.slots.leaf, return_counts=True)] == [
        list(range(64 // size)),
        [size] * (64 // size),
    ]
    ranks = np.arange(256)
    assert (made.world.slots.nvlink_domain(ranks) == ranks // (4 * size)).all()
    assert (made.world.spans("ep") == SPANS.index("nvlink")).all()
    again = compile_plan([*SEGMENTED, f"scheduler.slurm.segment={size}", f"hardware.nvlink.domain_gpus={4 * size}"])
    assert step_time_s(again) == step_time_s(made)


def test_hosts_of_segments_are_known_by_name_alone() -> None:
    made = compile_plan([*SEGMENTED, "scheduler.slurm.segment=16"])
    (found,) = [check for check in made.checks if check.id == "slurm-blocks"]
    assert found.status == "warn"
    assert found.message.startswith(
        "slots are laid out by segments of 16 nodes, and hosts are sorted into them by name"
    )
    told = compile_plan([*SEGMENTED, "scheduler.slurm.segment=16", "site.slurm.topology_command=[blocks]"])
    assert [check.status for check in told.checks if check.id == "slurm-blocks"] == ["pass"]


def test_racks_of_an_inventory_are_used_as_far_as_a_segment_goes(tmp_path: Path) -> None:
    """Sixteen of eighteen nodes of each rack hold ranks, and the other two are its spares."""
    rows = [f"n{i:03d},l{i // 18},p,r{i // 18}" for i in range(72)]
    (tmp_path / "hosts.csv").write_text("\n".join(["host,leaf,pod,rack", *rows]) + "\n")
    given = [f"hardware.inventory={tmp_path / 'hosts.csv'}", "launch.spare_nodes=8", "scheduler.slurm.segment=16"]
    made = compile_plan([*SEGMENTED, *given])
    assert made.world.slots.spares == ("n016", "n017", "n034", "n035", "n052", "n053", "n070", "n071")
    assert made.world.slots.domain.tolist() == [rack for rack in range(4) for _ in range(16)]
