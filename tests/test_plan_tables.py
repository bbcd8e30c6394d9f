"""The tables of a plan folder: where each rank is and what it holds, the groups, and the slots."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from compiler.cluster.spans import SPANS
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.render import tables
from tests.command import degrees_of
from tests.configs import changed, compiled, composed


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestRankMap:
    def test_has_a_row_a_rank(self, strategy_folder: Path) -> None:
        lines = (strategy_folder / "rank_map.csv").read_text().splitlines()
        assert lines[0].startswith("rank,slot,host,local_rank,tp,cp,dp,pp,etp,ep,edp,layers,experts")
        assert len(lines) == 1 + 1024
        assert lines[1].startswith("0,0,,0,0,0,0,0,0,0,0,0-3,0-3")
        assert lines[1024].startswith("1023,127,,7,3,0,63,3,3,15,3,12-15,60-63")

    def test_follows_the_formulas_of_both_grids(self, strategy_folder: Path) -> None:
        for row in rows(strategy_folder, "rank_map.csv"):
            at = {key: int(row[key]) for key in "rank slot local_rank tp cp dp pp etp ep edp".split()}
            assert at["rank"] == at["tp"] + 4 * (at["cp"] + 1 * (at["dp"] + 64 * at["pp"]))
            assert at["rank"] == at["etp"] + 4 * (at["ep"] + 16 * (at["edp"] + 4 * at["pp"]))
            assert (at["slot"], at["local_rank"]) == divmod(at["rank"], 8)
            assert row["layers"] == f"{4 * at['pp']}-{4 * at['pp'] + 3}"
            assert row["experts"] == f"{4 * at['ep']}-{4 * at['ep'] + 3}"

    @pytest.mark.parametrize(
        ("degrees", "changes", "layers", "experts"),
        [
            ("ep16_tp4_pp4_vpp2_dp4", {}, {"0-1;8-9", "2-3;10-11", "4-5;12-13", "6-7;14-15"}, 16),
            ("ep64_tp4_pp4_adp64", {}, {"0-3", "4-7", "8-11", "12-15"}, 64),
            ("ep16_tp4_pp4_dp4", {"parallel__stages": [1, 5, 5, 5]}, {"0", "1-5", "6-10", "11-15"}, 16),
        ],
    )
    def test_ranges(self, degrees: str, changes: dict[str, Any], layers: set[str], experts: int) -> None:
        config = changed(composed(), {"parallel": degrees_of(degrees)})
        plan = compile_config(changed(config, {key.replace("__", "."): value for key, value in changes.items()}))
        assert set(plan.rank_map["layers"]) == layers
        assert len(set(plan.rank_map["experts"])) == experts
        if experts == 64:
            assert set(plan.rank_map["experts"]) == {str(i) for i in range(64)}

    def test_a_stage_without_a_moe_layer_holds_no_experts(self) -> None:
        plan = compiled(model__first_k_dense_replace=4, model__intermediate_size=4096)
        assert set(plan.rank_map["experts"][plan.rank_map["pp"] == 0]) == {""}
        assert set(plan.rank_map["experts"][plan.rank_map["pp"] == 1]) == {f"{i}-{i + 3}" for i in range(0, 64, 4)}


SIZES = {
    "tp": (256, 4, "nvlink"),
    "cp": (1024, 1, "gpu"),
    "dp": (16, 64, "pod"),
    "dp_cp": (16, 64, "pod"),
    "pp": (256, 4, "pod"),
    "tp_pp": (64, 16, "pod"),
    "tp_cp": (256, 4, "nvlink"),
    "ep": (64, 16, "leaf"),
    "etp": (256, 4, "nvlink"),
    "etp_ep": (16, 64, "leaf"),
    "etp_ep_pp": (4, 256, "pod"),
    "edp": (256, 4, "pod"),
}


class TestGroups:
    def test_every_kind_covers_every_rank_once(self, strategy_folder: Path) -> None:
        with (strategy_folder / "nccl_groups.csv").open() as file:
            assert file.readline().startswith("kind,index,size,span,ranks")
        table = rows(strategy_folder, "nccl_groups.csv")
        found = {kind: [row for row in table if row["kind"] == kind] for kind in SIZES}
        assert Counter(row["kind"] for row in table) == {kind: count for kind, (count, _, _) in SIZES.items()}
        for kind, (count, size, _) in SIZES.items():
            members = [[int(rank) for rank in row["ranks"].split()] for row in found[kind]]
            assert [int(row["index"]) for row in found[kind]] == list(range(count))
            assert {len(ranks) for ranks in members} == {size} == {int(row["size"]) for row in found[kind]}
            assert sorted(rank for ranks in members for rank in ranks) == list(range(1024))

    def test_spans_are_the_farthest_link(self, strategy_folder: Path) -> None:
        farthest: dict[str, str] = {}
        for row in rows(strategy_folder, "nccl_groups.csv"):
            slots = {int(rank) // 8 for rank in row["ranks"].split()}
            expected = (
                "gpu" if row["size"] == "1"
                else "nvlink" if len(slots) == 1
                else "leaf" if len({slot // 16 for slot in slots}) == 1
                else "pod"
            )  # fmt: skip
            assert row["span"] == expected
            farthest[row["kind"]] = max(farthest.get(row["kind"], "gpu"), row["span"], key=SPANS.index)
        assert farthest == {kind: span for kind, (_, _, span) in SIZES.items()}

    @pytest.mark.parametrize(
        ("kind", "index", "ranks"),
        [
            ("ep", 0, range(0, 64, 4)),
            ("ep", 1, range(1, 64, 4)),
            ("etp_ep", 1, range(64, 128)),
            ("edp", 0, range(0, 256, 64)),
            ("pp", 0, range(0, 1024, 256)),
            ("dp", 0, range(0, 256, 4)),
            ("tp", 255, range(1020, 1024)),
        ],
    )
    def test_a_group(self, strategy: Plan, kind: str, index: int, ranks: range) -> None:
        assert strategy.groups[kind][index].tolist() == list(ranks)

    def test_a_dense_model_has_no_expert_groups(self) -> None:
        config = composed("~expect", "model=llama3_1_8b", "parallel=tp8_pp4_adp32")
        assert list(compile_config(config).groups) == "tp cp dp dp_cp pp tp_pp tp_cp".split()


class TestSlots:
    def test_an_unbound_slot_has_no_host(self, strategy_folder: Path) -> None:
        table = rows(strategy_folder, "slots.csv")
        assert [int(row["slot"]) for row in table] == list(range(128))
        assert {row["host"] for row in table} == {""}
        assert [int(row["leaf"]) for row in table] == [slot // 16 for slot in range(128)]
        assert {row["pod"] for row in table} == {"0"}

    def test_hosts_come_by_pod_leaf_and_natural_order_and_odd_names_stay_one_field(self) -> None:
        hosts = [f'n{i},"leaf ""{i % 8}"", east",pod,r' for i in range(130)]
        config = changed(composed("~expect"), {"hardware.inventory": "host,leaf,pod,rack\n" + "\n".join(hosts) + "\n"})
        plan = compile_config(changed(config, {"launch.spare_nodes": 2}))
        table = list(csv.DictReader(io.StringIO("".join(tables.slots(plan.world)))))
        assert [row["host"] for row in table[:3]] == ["n0", "n8", "n16"]
        assert {row["leaf"] for row in table} == {f'leaf "{i}", east' for i in range(8)}
        assert plan.to_dict()["slots"]["pinned"]
        assert len(plan.to_dict()["slots"]["spares"]) == 2
        assert plan.rank_map["host"][:9].tolist() == ["n0"] * 8 + ["n8"]
