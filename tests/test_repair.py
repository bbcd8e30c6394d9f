"""`python -m compiler.repair`: plans on what is left, compiled and compared with what was there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.commands import edits, repair
from compiler.failures.replicas import replicas
from compiler.repairs.standing import Repaired, Standing
from tests.command import BARE
from tests.repaired import FOUR, TRAIN, Capture, done, given_again, hosts, repaired, slots, steady, written


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
        found = standing.without(standing.graph.lost(f"host={plan.world.slots.hosts[1]}"))
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
            found = standing.without(standing.graph.lost(f"host={host}"))
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
