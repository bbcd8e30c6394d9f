"""What the plan folder holds as a whole: its files, its manifest, and its summary of costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from compiler.plan import Plan
from tests.command import whole
from tests.configs import compiled


class TestFolder:
    def test_holds_the_files_of_the_contract_and_a_manifest_over_them(self, strategy_folder: Path) -> None:
        assert {path.name for path in strategy_folder.iterdir()} == {
            "plan.json",
            "config.yaml",
            "rank_map.csv",
            "nccl_groups.csv",
            "slots.csv",
            "report.md",
            "report.html",
            "traffic.npz",
            "manifest.json",
        }
        assert whole(strategy_folder)

    def test_the_manifest_notices_a_changed_file(self, strategy: Plan, tmp_path: Path) -> None:
        folder = strategy.write(tmp_path)
        (folder / "slots.csv").write_text("slot,host,leaf,pod\n")
        assert not whole(folder)

    def test_every_line_ends_like_a_line(self, strategy_folder: Path) -> None:
        for path in (path for path in strategy_folder.iterdir() if path.suffix != ".npz"):
            data = path.read_bytes()
            assert data.endswith(b"\n"), path.name
            assert b"\r" not in data, path.name


class TestCosts:
    def test_weights_of_the_strategy(self, strategy_json: dict[str, Any]) -> None:
        memory, params = strategy_json["memory"], strategy_json["params"]
        assert memory["weights_bytes"] == 703_125_000
        assert memory["capacity_bytes"] == 64e9
        assert params["per_rank_max"] == 351_562_500
        assert (params["total"], params["dense"], params["moe"]) == (30e9, 4e9, 26e9)
        parts = sum(
            value for key, value in memory.items() if key.endswith("_bytes") and key[:5] not in ("total", "capac")
        )
        assert parts == memory["total_bytes"]
        assert max(stage["total_bytes"] for stage in memory["stages"]) == memory["total_bytes"]

    def test_the_worst_rank_is_on_the_fullest_stage(self, strategy: Plan, strategy_json: dict[str, Any]) -> None:
        memory = strategy_json["memory"]
        fullest = max(memory["stages"], key=lambda stage: stage["total_bytes"])
        assert strategy.rank_map["pp"][memory["worst_rank"]] == fullest["pp"]

    def test_the_summary_is_the_plan(self, strategy_folder: Path, strategy_json: dict[str, Any]) -> None:
        assert json.loads((strategy_folder / "plan.json").read_text()) == json.loads(json.dumps(strategy_json))


def test_instances_share_the_cluster() -> None:
    plan = compiled(degrees="ep16_tp4_pp4_dp2", framework__instances=2)
    contents = plan.to_dict()
    assert (contents["instances"], contents["world_size"], contents["slots"]["count"]) == (2, 512, 128)
    assert np.unique(plan.rank_map["slot"]).tolist() == list(range(64))
    assert plan.name == "moe_30b_ep16_tp4_pp4_dp2_x2"
