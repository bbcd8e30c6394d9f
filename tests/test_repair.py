"""`python -m compiler.repair`: plans on what is left, compiled and compared with what was there."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler import compile_plan
from compiler.commands import edits, prove, repair
from compiler.errors import ConfigError, InvariantError
from compiler.failures.replicas import replicas
from compiler.plan import Plan
from compiler.repairs.standing import Repaired, Standing, Unrepairable
from tests.command import BARE, call
from tests.pooled_plans import ON, pools

TRAIN = (BARE, "model=llama3_1_8b", "hardware=h100_80gb", "workload=train", "framework=megatron")
FOUR = (*TRAIN, "parallel=tp4_pp4_dp4", "workload.global_batch_size=128")
"""Four replicas of two nodes, each stage of four on a node for two of them."""
Capture = pytest.CaptureFixture[str]


def hosts(tmp_path: Path, count: int, leaf: int = 4, rack: int = 2) -> str:
    rows = [f"n{i:04d},l{i // leaf},p{i // leaf // 4},r{i // rack}" for i in range(count)]
    (tmp_path / "hosts.csv").write_text("\n".join(["host,leaf,pod,rack", *rows]) + "\n")
    return f"hardware.inventory={tmp_path / 'hosts.csv'}"


def written(tmp_path: Path, *given: str) -> Path:
    return compile_plan([*given]).write(tmp_path, "plan")


def repaired(capsys: Capture, folder: Path, *losses: str) -> dict[str, Any]:
    assert repair.run([str(folder), "--json", "--lost", *losses]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def slots(folder: Path) -> list[str]:
    with (folder / "slots.csv").open() as file:
        return [row["host"] for row in csv.DictReader(file)]


def steady(folder: Path) -> None:
    """Nothing of it is edited, and compiling its configuration gives every file again."""
    assert edits.of_folder(folder) == []
    assert list(edits.again(folder, edits.compiled(folder))) == []


def planned(plan: Plan, *losses: str) -> Repaired | Unrepairable:
    standing = Standing(plan)
    return standing.without(standing.graph.lost(*losses))


def done(plan: Plan, *losses: str) -> Repaired:
    found = planned(plan, *losses)
    assert isinstance(found, Repaired)
    return found


class TestOnSpares:
    def test_one_node_moves_one_nodes_ranks(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1")
        found = repaired(capsys, folder, "host=n0002")
        new = Path(found["folder"])
        assert new == tmp_path / "plan_repaired"
        assert slots(new) == ["n0000", "n0001", "n0008", *(f"n{i:04d}" for i in range(3, 8))]
        assert [move["rank"] for move in found["moves"]] == list(range(16, 24))
        assert {(move["from"], move["to"], move["near"]) for move in found["moves"]} == {("n0002", "n0008", "pod")}
        assert found["spares"] == []
        steady(new)

    def test_moved_ranks_load_weights_from_a_replica_and_their_own_states_from_the_checkpoint(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        given = (*FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1")
        plan = compile_plan([*given])
        stage = plan.to_dict()["memory"]["stages"][1]
        for move in repaired(capsys, written(tmp_path, *given), "host=n0002")["moves"]:
            source = move["weights_from"]["rank"]
            assert plan.rank_map["host"][source] == move["weights_from"]["host"] != "n0002"
            for axis in ("tp", "pp", "layers"):
                assert plan.rank_map[axis][source] == plan.rank_map[axis][move["rank"]]
            assert move["weights_bytes"] == stage["weights_bytes"] > 0
            assert (move["optimizer_bytes"], move["optimizer_from"]) == (stage["optimizer_bytes"], "checkpoint")

    def test_states_that_every_replica_has_come_from_it_too(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(
            tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1", "workload.distributed_optimizer=false"
        )
        for move in repaired(capsys, folder, "host=n0002")["moves"]:
            assert move["optimizer_from"] == move["weights_from"] != "checkpoint"

    @pytest.mark.parametrize("given", [("parallel=tp8_dp2", "workload.zero_stage=3"), ("parallel=tp8_pp2",)])
    def test_what_is_cut_or_in_no_other_replica_comes_from_the_checkpoint(
        self, tmp_path: Path, capsys: Capture, given: tuple[str, ...]
    ) -> None:
        base = (*TRAIN, "framework=none", "workload.global_batch_size=8", hosts(tmp_path, 3), "launch.spare_nodes=1")
        folder = written(tmp_path, *base, *given)
        found = repaired(capsys, folder, "host=n0000")
        assert {str(move["weights_from"]) for move in found["moves"]} == {"checkpoint"}

    def test_the_nearest_spare_is_taken(self, tmp_path: Path) -> None:
        """Racks of three of which two are used: a domain keeps its spare."""
        given = ["hardware.nvlink.domain_gpus=16", "launch.spare_nodes=4", hosts(tmp_path, 12, leaf=6, rack=3)]
        plan = compile_plan([*FOUR, *given])
        assert plan.world.slots.spares == ("n0002", "n0005", "n0008", "n0011")
        assert plan.world.slots.domain.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        for host, spare in (("n0000", "n0002"), ("n0004", "n0005"), ("n0010", "n0011")):
            found = done(plan, f"host={host}")
            assert spare in found.hosts
            assert len(found.moves) == 8
        both = done(plan, "host=n0000", "host=n0001")  # the second goes to the next rack of its leaf
        assert both.hosts[:2] == ("n0002", "n0005")
        again = compile_plan([*FOUR, *given, f"hardware.hosts='{','.join(done(plan, 'host=n0001').hosts)}'"])
        assert again.world.slots.domain.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]

    def test_a_lost_spare_moves_nobody(self, tmp_path: Path, capsys: Capture) -> None:
        found = repaired(capsys, written(tmp_path, *FOUR, hosts(tmp_path, 10), "launch.spare_nodes=2"), "host=n0008")
        assert (found["moves"], found["spares"]) == ([], ["n0009"])
        assert slots(Path(found["folder"])) == [f"n{i:04d}" for i in range(8)]

    def test_a_lost_gpu_takes_its_node(self, tmp_path: Path, capsys: Capture) -> None:
        found = repaired(capsys, written(tmp_path, *FOUR, hosts(tmp_path, 9), "launch.spare_nodes=1"), "gpu=n0003/7")
        assert len(found["moves"]) == 8
        assert "n0003" not in {move["weights_from"]["host"] for move in found["moves"]}

    def test_slots_that_are_not_bound_have_a_spare_less(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *FOUR, "hardware.nodes=8", "launch.spare_nodes=2")
        found = repaired(capsys, folder, "slot=3")
        assert (len(found["moves"]), found["spares"]) == (8, 1)
        assert edits.compiled(Path(found["folder"])).config.launch.spare_nodes == 1

    def test_and_as_many_as_the_scheduler_takes(self, tmp_path: Path, capsys: Capture) -> None:
        """Slurm parts nodes into whole segments: of twelve in threes eleven are none, nine are."""
        given = [item for item in FOUR if item != BARE]
        segments = ["scheduler=slurm", "site.slurm.placement=segment", "scheduler.slurm.segment=3"]
        for spares, left in ((4, 1), (1, 1)):
            folder = written(tmp_path, *given, *segments, "hardware.nodes=8", f"launch.spare_nodes={spares}")
            found = repaired(capsys, folder, "slot=3")
            assert found["spares"] == left
            steady(Path(found["folder"]))

    def test_ten_in_a_row_keep_every_rule(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 18, leaf=6), "launch.spare_nodes=10")
        for turn in range(10):
            host = slots(folder)[turn * 3 % 8]
            found = repaired(capsys, folder, f"host={host}")
            before, folder = slots(folder), Path(found["folder"])
            assert sum(a != b for a, b in zip(before, slots(folder), strict=True)) == 1
            assert len(found["moves"]) == 8
            assert host not in (folder / "runtime/inventory.csv").read_text()
            steady(folder)
        assert folder.name == "plan_repaired10"
        assert repaired(capsys, folder, f"host={slots(folder)[0]}")["kept"] == [2, 3]

    def test_says_what_a_launcher_would_renumber(self, tmp_path: Path) -> None:
        """Of 16 hosts on leaves of four, the second of 12 nodes: all behind it get another number."""
        plan = compile_plan([BARE, "parallel=ep8_tp4_dp3", "launch.spare_nodes=4", hosts(tmp_path, 16, leaf=4)])
        standing = Standing(plan)
        found = standing.without(standing.graph.lost(*[f"host={plan.world.slots.hosts[1]}"]))
        assert isinstance(found, Repaired)
        assert found.renumbered == 11
        assert sum(a != b for a, b in zip(found.hosts, plan.world.slots.hosts, strict=True)) == 1

    @pytest.mark.parametrize("spares", [128, 0])
    def test_every_loss_of_two_thousand_nodes_is_planned_in_ten_seconds(self, tmp_path: Path, spares: int) -> None:
        given = ["parallel=ep16_tp4_pp4_dp64", "workload.global_batch_size=8192", f"launch.spare_nodes={spares}"]
        plan = compile_plan([BARE, *given, hosts(tmp_path, 2048 + spares, leaf=17)])
        start = time.process_time()
        standing = Standing(plan)
        for host in plan.world.slots.hosts:
            found = standing.without(standing.graph.lost(*[f"host={host}"]))
            assert isinstance(found, Repaired)
            assert len(found.moves) == (8 if spares else 0)
        assert time.process_time() - start < 10


class TestOnFewer:
    def test_the_batch_is_kept_and_what_would_keep_more_is_said(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *FOUR, hosts(tmp_path, 8))
        found = repaired(capsys, folder, "host=n0002")
        assert (found["kept"], found["of"], found["moves"]) == ([2, 3], 4, [])
        assert "3 replicas are left, and cannot run: batch: global_batch_size 128 over adp=3" in found["notes"][0]
        assert "workload.global_batch_size=126 or workload.global_batch_size=129 would keep them" in found["notes"][0]
        assert "optimizer states are cut over 2 replicas, no longer 4" in found["notes"][1]
        new = Path(found["folder"])
        config = edits.compiled(new).config
        assert (config.workload.global_batch_size, config.parallel.dp, config.hardware.nodes) == (128, 2, 4)
        assert slots(new) == ["n0001", "n0003", "n0005", "n0007"]
        assert found["spares"] == ["n0000", "n0004", "n0006"]
        steady(new)

    def test_as_many_as_divide_the_batch_stay(self, tmp_path: Path) -> None:
        plan = compile_plan([*FOUR, hosts(tmp_path, 8), "workload.global_batch_size=132"])
        found = done(plan, "host=n0002")
        assert sorted(found.seats.kept.tolist()) == [0, 2, 3]
        assert found.part.parallel.dp == 3
        assert found.part.hardware.nodes == 6

    def test_ranks_that_stay_keep_host_and_shard(self, tmp_path: Path) -> None:
        """MoE: replicas of four nodes; the one that lost a node goes, and the others sit where they sat."""
        given = [BARE, "parallel=ep16_tp4_pp2_dp4", hosts(tmp_path, 64)]
        plan = compile_plan(given)
        found = done(plan, "host=n0009")
        new = compile_plan(given_again(found, given, tmp_path))
        was = found.seats.was
        assert found.moves == ()
        assert (new.rank_map["host"] == plan.rank_map["host"][was]).all()
        for column in ("tp", "pp", "ep", "etp", "layers", "experts", "local_rank"):
            assert (new.rank_map[column] == plan.rank_map[column][was]).all()

    def test_nodes_of_a_lost_replica_mend_the_others(self, tmp_path: Path) -> None:
        given = [BARE, "parallel=ep16_tp4_pp2_dp4", "hardware.fabric.nodes_per_leaf=4", hosts(tmp_path, 64)]
        plan = compile_plan(given)
        of = replicas(plan.world).of
        by_replica = {int(of[slot * 8]): slot for slot in range(64)}
        losses = [f"host={plan.world.slots.hosts[by_replica[replica]]}" for replica in (0, 1, 2)]
        found = done(plan, *losses)
        assert found.seats.kept.tolist() == [3, 0, 1]  # whole ones first; of equal ones the last goes
        assert len(found.moves) == 16
        moved = {move.was for move in found.moves}
        assert {int(of[rank]) for rank in moved} == {0, 1}

    def test_a_server_drops_the_instance_that_lost_a_node(self, tmp_path: Path) -> None:
        given = [
            BARE,
            "model=llama3_1_8b",
            "hardware=h100_80gb",
            "parallel=tp8",
            "framework=vllm",
            "framework.instances=4",
        ]
        plan = compile_plan([*given, hosts(tmp_path, 4)])
        found = done(plan, "host=n0001")
        assert (found.part.framework.instances, found.hosts, found.moves) == (3, ("n0000", "n0002", "n0003"), ())

    def test_servers_that_share_nodes_stay_beside_each_other(self, tmp_path: Path) -> None:
        """Two on each of two nodes and one on a third: of the two that lose theirs one finds the seat that is free."""
        given = [
            BARE,
            "model=llama3_1_8b",
            "hardware=h100_80gb",
            "parallel=tp4",
            "framework=vllm",
            "framework.instances=5",
        ]
        plan = compile_plan([*given, hosts(tmp_path, 3)])
        found = done(plan, "host=n0000")
        assert found.hosts == ("n0001", "n0002")
        assert found.seats.kept.tolist() == [2, 3, 4, 0]
        assert [(move.was, move.machine) for move in found.moves] == [(rank, 2) for rank in range(4)]

    def test_a_lost_gpu_takes_those_who_share_its_node(self, tmp_path: Path) -> None:
        given = [
            BARE,
            "model=llama3_1_8b",
            "hardware=h100_80gb",
            "parallel=tp4",
            "framework=vllm",
            "framework.instances=4",
        ]
        found = done(compile_plan([*given, hosts(tmp_path, 2)]), "gpu=n0000/0")
        assert (found.hosts, found.seats.kept.tolist(), found.moves) == (("n0001",), [2, 3], ())

    def test_many_replicas_are_tried_soon(self, tmp_path: Path) -> None:
        """Of 512 replicas 504 are left, and 256 divide the batch."""
        given = [*TRAIN, "parallel=tp1_dp512", "workload.global_batch_size=512", "hardware.gpu.memory_bytes=1e12"]
        plan = compile_plan([*given, hosts(tmp_path, 64)])
        start = time.process_time()
        found = done(plan, "host=n0003")
        assert time.process_time() - start < 10
        assert found.part.parallel.dp == 256

    def test_nothing_is_left_of_one_replica(self, tmp_path: Path, capsys: Capture) -> None:
        folder = written(tmp_path, *TRAIN, "parallel=tp8_pp4", "workload.global_batch_size=8", hosts(tmp_path, 4))
        assert repair.run([str(folder), "--lost", "host=n0001"]) == 1
        said = capsys.readouterr().err
        assert said == (
            "error: 3 of 4 nodes are left and no spare, the plan has one replica ;"
            " add 1 hosts to the inventory as spares, and compile again\n"
        )
        assert not (tmp_path / "plan_repaired").exists()

    def test_slots_that_are_not_bound_say_so(self, tmp_path: Path, capsys: Capture) -> None:
        found = repaired(capsys, written(tmp_path, *FOUR, "hardware.nodes=8"), "slot=3")
        assert "slots are not bound to hosts" in found["notes"][-1]
        config = edits.compiled(Path(found["folder"])).config
        assert (config.hardware.nodes, config.launch.spare_nodes) == (4, 3)


def given_again(found: Repaired, given: list[str], tmp_path: Path) -> list[str]:
    """Overrides of a repaired plan, by hand."""
    (tmp_path / "left.csv").write_text(found.part.hardware.inventory or "")
    degrees = found.part.parallel
    return [
        *(item for item in given if not item.startswith("hardware.inventory")),
        f"hardware.inventory={tmp_path / 'left.csv'}",
        f"hardware.hosts='{','.join(found.hosts)}'",
        f"hardware.nodes={found.part.hardware.nodes}",
        f"launch.spare_nodes={found.part.launch.spare_nodes}",
        f"parallel.dp={degrees.dp}",
    ]


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
