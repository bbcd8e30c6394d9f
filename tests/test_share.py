"""Instances that have a part of their nodes: where they sit, what the tables say of it, and how they are started."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiler import InvariantError, compile_plan
from compiler.cluster.seating import seat
from compiler.cluster.share import Share, split
from compiler.commands.show import run
from compiler.plan import Plan
from compiler.runtime import planned, shape
from tests.command import BARE, call
from tests.pooled_plans import pools

SERVER = [BARE, "model=qwen3_30b_a3b", "hardware=h100_80gb", "scheduler=slurm"]


def served(*overrides: str) -> Plan:
    return compile_plan([*SERVER, *overrides])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def warned(plan: Plan) -> dict[str, str]:
    return {check.id: check.message for check in plan.checks if check.status == "warn"}


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize(("ranks", "gpus"), [(4, 8), (3, 8), (2, 4), (8, 8), (16, 8), (12, 8), (72, 4)])
def test_no_two_ranks_have_one_gpu_and_an_instance_is_side_by_side(ranks: int, gpus: int, taken: int) -> None:
    share = split(ranks, gpus)
    share = share if share.nodes > 1 or taken >= share.seats else Share(share.gpus, share.ranks, 1, taken)
    every = np.arange(5 * ranks)
    seats = set(zip(share.slot(every).tolist(), share.gpu(every).tolist(), strict=True))
    assert len(seats) == 5 * ranks
    assert {slot for slot, _ in seats} <= set(range(share.all_nodes(5)))
    for instance in range(5):
        own = every[instance * ranks : (instance + 1) * ranks]
        assert share.slot(own).tolist() == [share.first_node(instance) + i // share.ranks for i in range(ranks)]
        assert share.gpu(own).tolist() == [share.first_gpu(instance) + i % share.ranks for i in range(ranks)]
        assert all(instance in share.holders(slot, 5) for slot in share.slot(own).tolist())


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8, 16, 24])
@pytest.mark.parametrize(("nodes", "first", "taken"), [(None, 0, 0), (9, 2, 1)])
def test_the_runtime_works_out_the_same(ranks: int, nodes: int | None, first: int, taken: int) -> None:
    share = split(ranks, 8)
    taken = taken if share.seats > taken and share.nodes == 1 else 0
    share = Share(8, share.ranks, share.nodes, taken)
    launch: dict[str, Any] = {"gpus_per_node": 8, "ranks_per_node": share.ranks, "nodes": share.nodes, "instances": 5}
    launch |= {} if nodes is None else {"within": {"nodes": nodes, "first": first, "taken": taken}}
    assert shape.all_nodes(launch) == share.all_nodes(5)
    assert [planned.seat(launch, i) for i in range(5)] == [(share.first_node(i), share.first_gpu(i)) for i in range(5)]
    assert [planned.before(launch, i) for i in range(5)] == [share.ports_before(i) for i in range(5)]


def test_a_server_may_leave_gpus_idle(tmp_path: Path) -> None:
    plan = served("framework=sglang", "hardware.nodes=1", "parallel=tp4")
    assert warned(plan)["idle-gpus"] == "4 ranks on 1 nodes x 8 GPUs leave 4 GPUs idle"
    folder = plan.write(tmp_path)
    assert rows(folder / "slots.csv") == [{"slot": "0", "host": "", "leaf": "0", "pod": "0", "gpus": "0:0-3"}]
    launch = json.loads((folder / "runtime/launch.json").read_text())
    assert (launch["nodes"], launch["ranks_per_node"], launch["gpus_per_node"]) == (1, 4, 8)


class TestVisibleDevices:
    """Each server is shown its own GPUs of a node that it shares; the user's word for all of them would be one for none."""

    @pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"])
    @pytest.mark.parametrize("group", ["launch.environment", "site.environment"])
    def test_are_the_launchers_on_a_shared_node(self, group: str, name: str, tmp_path: Path) -> None:
        given = [*SERVER, "framework=sglang", "hardware.nodes=1", "parallel=tp4", "framework.instances=2"]
        ran = call(*given, f"+{group}.{name}=0", cwd=tmp_path)
        assert ran.code == 2
        assert f"{group}.{name} is set by the launcher, from the plan, where servers share a node" in ran.err

    @pytest.mark.parametrize("role", ["prefill", "decode"])
    def test_are_a_pools_no_more(self, role: str, tmp_path: Path) -> None:
        parts = {"prefill": "parallel: tp4, instances: 1", "decode": "parallel: tp4, instances: 1"}
        parts[role] += ", environment: {CUDA_VISIBLE_DEVICES: '0'}"
        both = pools(parts["prefill"], parts["decode"])
        ran = call(*SERVER, "framework=sglang", "hardware.nodes=1", both, cwd=tmp_path)
        assert ran.code == 2
        assert "CUDA_VISIBLE_DEVICES is set by the launcher" in ran.err

    @pytest.mark.parametrize("degrees", ["tp4", "tp8"])
    def test_are_the_users_where_a_server_has_its_node_to_itself(self, degrees: str) -> None:
        given = ("framework=sglang", "hardware.nodes=1", f"parallel={degrees}")
        plan = served(*given, "+launch.environment.CUDA_VISIBLE_DEVICES='4,5,6,7'")
        assert plan.config.launch.environment == {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}


def test_an_instance_has_as_many_gpus_of_each_of_its_nodes() -> None:
    plan = served("hardware.nodes=2", "parallel=tp4_adp3", "workload.global_batch_size=12")
    assert plan.rank_map["slot"].tolist() == [0] * 6 + [1] * 6
    assert plan.rank_map["local_rank"].tolist() == [0, 1, 2, 3, 4, 5] * 2


def test_training_has_a_rank_on_every_gpu() -> None:
    with pytest.raises(InvariantError, match=r"world-size: tp4 .* = 4 ranks; the cluster has 1 nodes x 8 GPUs = 8"):
        served("workload=train", "hardware.nodes=1", "parallel=tp4")


def test_a_node_without_a_rank_is_refused() -> None:
    with pytest.raises(InvariantError, match="4 ranks; the cluster has 2 nodes x 8 GPUs = 16"):
        served("hardware.nodes=2", "parallel=tp4")


class TestPools:
    """Six prefill servers and two of decode on two nodes."""

    OVERRIDES = (*SERVER, "framework=sglang", "hardware.nodes=2")
    POOLS = pools("parallel: tp2, instances: 6", "parallel: tp2, instances: 2")

    def test_decode_begins_where_prefill_ends(self, tmp_path: Path) -> None:
        folder = compile_plan([*self.OVERRIDES, self.POOLS]).write(tmp_path)
        assert [row["gpus"] for row in rows(folder / "prefill/slots.csv")] == ["0:0-1;1:2-3;2:4-5;3:6-7", "4:0-1;5:2-3"]
        assert [row["gpus"] for row in rows(folder / "decode/slots.csv")] == ["0:4-5;1:6-7"]
        assert [row["nic"] for row in rows(folder / "decode/rank_map.csv")] == ["4", "5"]
        script = (folder / "slurm/job.sbatch").read_text()
        assert script.count("#SBATCH --nodes=2\n") == 1
        assert not any(word in script for word in ("hetjob", "--het-group", "HET_GROUP"))

    def test_ports_on_a_shared_node_are_different(self, tmp_path: Path) -> None:
        folder = compile_plan([*self.OVERRIDES, self.POOLS]).write(tmp_path)
        seen = []
        for role, instances in (("prefill", 6), ("decode", 2)):
            launch = json.loads((folder / role / "runtime/launch.json").read_text())
            port, first = launch["http_port"], launch["within"]["first"]
            for instance in range(instances):
                node = first + planned.seat(launch, instance)[0]
                seen.append((node, port["port"] + port["times"] * planned.before(launch, instance)))
        assert len(set(seen)) == 8

    def test_apart_where_the_nodes_are_there(self, tmp_path: Path) -> None:
        plan = compile_plan([*self.OVERRIDES, "hardware.nodes=3", self.POOLS])
        folder = plan.write(tmp_path)
        assert "hetjob" in (folder / "slurm/job.sbatch").read_text()
        assert {check.id for check in plan.checks if check.id.endswith("idle-gpus")} == {
            "prefill.idle-gpus",
            "decode.idle-gpus",
        }

    def test_pinned_hosts_are_those_of_both(self, tmp_path: Path) -> None:
        (tmp_path / "hosts.csv").write_text("host,leaf,pod,rack\na,l,p,r\nb,l,p,r\nc,l,p,r\n")
        chosen = [*self.OVERRIDES, f"hardware.inventory={tmp_path}/hosts.csv", "hardware.pin=true", "scheduler=jobset"]
        parts = pools("parallel: tp2, instances: 6", "parallel: tp2, instances: 2, spare_nodes: 1")
        folder = compile_plan([*chosen, parts]).write(tmp_path)
        for role, own in (("prefill", ["a", "b"]), ("decode", ["b"])):
            launch = json.loads((folder / role / "runtime/launch.json").read_text())
            assert (launch["hosts"], launch["spares"]) == (["a", "b"], ["c"])
            assert [row["host"] for row in rows(folder / role / "slots.csv")] == own
            manifest = (folder / f"kubernetes/{role}-jobset.yaml").read_text()
            named = set(re.findall(r'operator: "In"\n +values:\n +- "([abc])"', manifest))
            assert named == set(own)

    def test_a_pool_compiles_alone_to_the_same_bytes(self, tmp_path: Path) -> None:
        folder = compile_plan([*self.OVERRIDES, self.POOLS]).write(tmp_path)
        again = call(f"--config-dir={folder}/decode", "--config-name=config", cwd=tmp_path)
        assert again.code == 0, again.err
        (alone,) = (tmp_path / "out").iterdir()
        for name in ("slots.csv", "rank_map.csv", "plan.json"):
            assert (alone / name).read_text() == (folder / "decode" / name).read_text()


def test_decode_that_does_not_fit_beside_prefill_has_nodes_of_its_own() -> None:
    seating = seat(split(6, 8), split(4, 8), (1, 1), 1)
    assert (seating.nodes, seating.shared) == (2, 0)


def test_more_nodes_than_a_server_needs_are_too_many_and_not_too_few_ranks(tmp_path: Path) -> None:
    ran = call(*SERVER, "framework=sglang", "parallel=tp4", cwd=tmp_path)
    assert "4 ranks; the cluster has 128 nodes x 8 GPUs = 1024 ; write framework.instances=256 or " in ran.err


def test_show_says_which_gpu_a_rank_of_a_shared_node_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = compile_plan([*TestPools.OVERRIDES, TestPools.POOLS]).write(tmp_path) / "decode"
    assert run([str(folder), "slot=0"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:4] for row in lines if row[1:2] in (["0"], ["1"]) and len(row) > 6] == [
        ["0", "0", "0", "4"],
        ["1", "0", "1", "5"],
        ["0", "1", "0", "6"],
        ["1", "1", "1", "7"],
    ]


@pytest.mark.parametrize("within", [{"taken_gpus": 6}, {"nodes": 1, "first": 3}])
def test_nodes_that_pools_share_have_room_for_an_instance(within: dict[str, int]) -> None:
    words = [f"hardware.within.{key}={value}" for key, value in within.items()]
    with pytest.raises(InvariantError, match="shared-nodes: an instance has 4 GPUs on each of 1 nodes"):
        served("hardware.nodes=1", "parallel=tp4", *words)
