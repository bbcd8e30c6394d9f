"""A repaired plan as a folder, and the hosts that it may take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from compiler import compile_plan
from compiler.commands import prove, repair
from compiler.errors import ConfigError, InvariantError, WriteError
from tests.command import BARE, call
from tests.pooled_plans import ON, pools
from tests.repaired import FOUR, Capture, hosts, repaired, slots, steady, written


class TestFolder:
    def test_prove_finds_the_same_as_before(self, tmp_path: Path, capsys: Capture) -> None:
        pytest.importorskip("megatron.core")
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1")
        before = prove.run([str(folder)])
        said = capsys.readouterr().out.splitlines()[-1]
        repair.run([str(folder), "--lost", "host=n0002", "--out", str(tmp_path / "new")])
        capsys.readouterr()
        assert prove.run([str(tmp_path / "new")]) == before
        assert capsys.readouterr().out.splitlines()[-1] == said

    def test_job_files_name_the_hosts_that_are_left(self, tmp_path: Path, capsys: Capture) -> None:
        given = [item for item in FOUR if item != BARE]
        folder = written(tmp_path, *given, "scheduler=[slurm,jobset]", hosts(tmp_path, 9), "launch.spare_nodes=1")
        new = Path(repaired(capsys, folder, "host=n0002")["folder"])
        names = ["n0000", "n0001", "n0008", *(f"n{i:04d}" for i in range(3, 8))]
        assert f"#SBATCH --nodelist={','.join(names)}\n" in (new / "slurm/job.sbatch").read_text()
        assert json.loads((new / "runtime/launch.json").read_text())["hosts"] == names
        assert "n0002" not in "".join(path.read_text() for path in (new / "kubernetes").iterdir())
        assert "n0002" not in (new / "runtime/inventory.csv").read_text()

    def test_out_is_the_folder_itself_and_replaces_a_plan_alone(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1")
        assert repair.run([str(folder), "--lost", "host=n0002", "--out", str(folder)]) == 0
        assert slots(folder)[2] == "n0008"
        said = capsys.readouterr().out
        assert "plan: " not in said
        assert "4 of 4 replicas go on, 8 ranks move" in said
        assert "8 ranks from n0002 to n0008 (same pod)" in said
        assert f"written: {folder}\n" in said

    def test_what_is_no_plan_stays_and_another_out_is_asked_for(self, tmp_path: Path) -> None:
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/notes").write_text("mine")
        with pytest.raises(WriteError) as caught:
            repair.run([str(folder), "--lost", "host=n0002", "--out", str(tmp_path / "mine")])
        assert str(caught.value).endswith("holds no manifest.json of rankplan's ; write another --out FOLDER")
        assert (tmp_path / "mine/notes").read_text() == "mine"

    def test_pools_keep_their_own_spares(self, tmp_path: Path, capsys: Capture) -> None:
        given = [item for item in ON if not item.startswith("hardware.nodes")]
        made = pools("parallel: tp4, instances: 4, spare_nodes: 1", "parallel: ep8, spare_nodes: 1")
        folder = compile_plan([*given, "hardware.nodes=3", hosts(tmp_path, 5), made]).write(tmp_path, "plan")
        assert [slots(folder / role) for role in ("prefill", "decode")] == [["n0000", "n0001"], ["n0003"]]
        found = repaired(capsys, folder, "host=n0003")
        new = Path(found["folder"])
        assert [slots(new / role) for role in ("prefill", "decode")] == [["n0000", "n0001"], ["n0004"]]
        assert found["parts"]["prefill"]["spares"] == ["n0002"]
        steady(new)
        fewer = Path(repaired(capsys, new, "host=n0000", "host=n0002")["folder"])
        assert slots(fewer / "prefill") == ["n0001"]
        steady(fewer)

    def test_no_loss_and_no_plan(self, tmp_path: Path) -> None:
        folder = written(tmp_path, *FOUR, "hardware.nodes=8")
        for given, said in (
            ([str(folder)], "nothing is lost"),
            ([str(tmp_path), "--lost", "slot=1"], "is no plan folder"),
        ):
            with pytest.raises(ConfigError) as caught:
                repair.run(given)
            assert said in str(caught.value)


class TestHosts:
    @pytest.mark.parametrize(
        ("named", "said"),
        [
            ("n[0000-0001]", "hardware.hosts names 2 hosts, the plan has 8 nodes"),
            (
                "n[0000-0006],n0006",
                "hardware.hosts names n0006, which the inventory lists once",
            ),
            (
                "n[0000-0006],n9",
                "hardware.hosts names n9, which the inventory does not list",
            ),
        ],
    )
    def test_are_a_host_of_the_inventory_for_each_node(self, tmp_path: Path, named: str, said: str) -> None:
        with pytest.raises(InvariantError) as caught:
            compile_plan([*FOUR, hosts(tmp_path, 8), f"hardware.hosts='{named}'"])
        assert said in str(caught.value)

    def test_are_a_host_list(self, tmp_path: Path) -> None:
        ran = call(*FOUR, hosts(tmp_path, 8), "hardware.hosts='n[0000-'", cwd=tmp_path)
        assert (ran.code, "error: hardware.hosts=n[0000- has a [ without its ] ; write a host list" in ran.err) == (
            2,
            True,
        )

    def test_without_an_inventory(self, tmp_path: Path) -> None:
        ran = call(*FOUR, "hardware.nodes=8", "hardware.hosts=a", cwd=tmp_path)
        assert (ran.code, "hardware.hosts has no hosts to pin ; write hardware.hosts=null" in ran.err) == (3, True)

    def test_say_who_sits_where(self, tmp_path: Path) -> None:
        order = [f"n{i:04d}" for i in (5, 4, 7, 6, 1, 0, 3, 2)]
        plan = compile_plan(
            [
                *FOUR,
                hosts(tmp_path, 9),
                "hardware.nodes=8",
                "launch.spare_nodes=1",
                f"hardware.hosts='{','.join(order)}'",
            ]
        )
        assert plan.world.slots.hosts == tuple(order)
        assert plan.world.slots.spares == ("n0008",)
        assert np.array_equal(plan.world.slots.leaf, [0, 0, 0, 0, 1, 1, 1, 1])
        assert plan.world.slots.leaf_names == ("l1", "l0")

    def test_in_the_order_of_the_inventory_are_the_same_plan(self, tmp_path: Path) -> None:
        given = [*FOUR, hosts(tmp_path, 8)]
        assert compile_plan(given).fingerprint == compile_plan([*given, "hardware.hosts='n[0000-0007]'"]).fingerprint
