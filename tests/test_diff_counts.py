"""`diff` counts what the tables say, which are made by other code; and who moves."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compiler import compile_plan
from compiler.config.again import compiled
from compiler.diff import page, side
from compiler.report.draw import svg
from compiler.report.figures import RankGrid
from tests.diffed import DENSE, HOSTS, Folder, changes, compared, compiled_in


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return compiled_in(tmp_path_factory.mktemp("counts"))


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(
    "pair", [("dense", "staged"), ("dense", "reordered"), ("dense", "wide"), ("moe", "moe8"), ("moe", "moe16")]
)
class TestCounts:
    """Against the tables, which are made by other code."""

    def test_groups(self, plan: Folder, pair: tuple[str, str]) -> None:
        tables = []
        for name in pair:
            found: dict[str, list[str]] = {}
            for row in rows(plan(name) / "nccl_groups.csv"):
                found.setdefault(row["kind"], []).append(row["ranks"])
            tables.append(found)
        said = changes(compared(*map(plan, pair)), "groups")
        named = {line.partition(":")[0] for line in said if "links" not in line}
        assert named == {kind for kind in tables[0] | tables[1] if tables[0].get(kind) != tables[1].get(kind)}
        for kind in named:
            one, other = tables[0][kind], tables[1][kind]
            if len(one) == len(other) and len(one[0].split()) == len(other[0].split()):
                count = sum(a != b for a, b in zip(one, other, strict=True))
                assert any(line.startswith(f"{kind}: {count:,} of {len(one):,} groups") for line in said)

    def test_layers_and_experts(self, plan: Folder, pair: tuple[str, str]) -> None:
        tables = [rows(plan(name) / "rank_map.csv") for name in pair]
        said = changes(compared(*map(plan, pair)), "layers")
        for column in ("layers", "experts"):
            other = [one["rank"] for one, two in zip(*tables, strict=False) if one[column] != two[column]]
            assert any(line.startswith(column) for line in said) == bool(other)
            if other:
                line = next(line for line in said if line.startswith(column))
                rank = int(other[0])
                assert f"change place on {len(other):,} ranks; the first is {rank}, which holds" in line
                assert line.endswith(f"holds: {tables[0][rank][column]} -> {tables[1][rank][column]}")


class TestPlaces:
    def test_a_rank_that_takes_another_gpu_of_its_node_moves(self, tmp_path: Path) -> None:
        given = ["framework=sglang", "model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=1", "scheduler=[]"]
        old, new = (
            compile_plan(
                [
                    *given,
                    f"workload.pools={{prefill: {{parallel: tp2, instances: {count}}}, decode: {{parallel: tp2}}}}",
                ]
            )
            for count in (3, 1)
        )
        found = changes(compared(old.write(tmp_path, "old"), new.write(tmp_path, "new")), "ranks")
        assert "decode 2 of 2 ranks move, the first is 0: slot 0 GPU 6 -> slot 0 GPU 2" in found

    def test_links_that_are_crossed_otherwise_are_told(self, plan: Folder, tmp_path: Path) -> None:
        new = compiled(plan("dense"), ["hardware.fabric.nodes_per_leaf=1"]).write(tmp_path, "new")
        found = compared(plan("dense"), new)
        assert "pp: links that are crossed: leaf 8 -> pod 8" in changes(found, "groups")

    @pytest.fixture
    def pinned(self, tmp_path: Path) -> Callable[[list[str]], Path]:
        def made(hosts: list[str]) -> Path:
            name = f"pinned{len(list(tmp_path.iterdir()))}"
            (tmp_path / f"{name}.csv").write_text("\n".join([HOSTS[0], *hosts]))
            table = f"hardware.inventory={tmp_path / f'{name}.csv'}"
            return compile_plan([*DENSE[:2], *DENSE[3:], "parallel=tp4_pp2_adp4", table]).write(tmp_path, name)

        return made

    def test_ranks_that_move_are_counted(self, pinned: Callable[[list[str]], Path]) -> None:
        old, new = pinned(HOSTS[1:]), pinned([*HOSTS[1:3], "spare,l1,p0,r0", HOSTS[4]])
        found = compared(old, new)
        assert found.verdict == "restart"
        moved = [
            one["host"] != two["host"]
            for one, two in zip(rows(old / "rank_map.csv"), rows(new / "rank_map.csv"), strict=True)
        ]
        assert changes(found, "ranks")[0].startswith(
            f"{sum(moved)} of 32 ranks move, the first is {moved.index(True)}: node2 GPU 0"
        )
        grid = next(
            block for section in page.sections(found) for block in section.blocks if isinstance(block, RankGrid)
        )
        assert [grid.names[shade] == "moves" for shade in grid.shades] == moved
        assert f'data-plan="new/plan.json#world_size={len(moved)}"' in svg(grid)

    def test_a_column_that_no_rank_is_placed_by_moves_nobody(self, pinned: Callable[[list[str]], Path]) -> None:
        found = compared(pinned(HOSTS[1:]), pinned([host.replace("r0", "r1") for host in HOSTS[1:]]))
        assert not changes(found, "ranks")

    def test_pinning_a_plan_moves_no_rank(self, plan: Folder, pinned: Callable[[list[str]], Path]) -> None:
        loose = compile_plan([*DENSE[:2], *DENSE[3:], "parallel=tp4_pp2_adp4", "hardware.nodes=4"])
        old = loose.write(plan("dense").parent, "loose")
        assert changes(compared(old, pinned(HOSTS[1:])), "ranks") == ["slots: not bound -> pinned to hosts"]


def test_moved_ranks_of_instances_are_counted_through_all_of_them(tmp_path: Path) -> None:
    given = ["model=llama3_1_8b", "hardware=h100_80gb", "parallel=tp4", "framework=vllm", "scheduler=[]"]
    old = compile_plan([*given, "hardware.nodes=1", "framework.instances=2"]).write(tmp_path, "old")
    new = compile_plan([*given, "hardware.nodes=2", "framework.instances=4"]).write(tmp_path, "new")
    assert changes(compared(old, new), "ranks") == ["ranks: 4 x 2 -> 4 x 4"]
    groups = [side.read(path, "").parts[""].plan.groups["tp"] for path in (old, new)]
    assert np.array_equal(groups[0], groups[1])
