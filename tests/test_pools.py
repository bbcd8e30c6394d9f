"""Prefill and decode as two plans: what each declares, the folder that holds both, and the commands that read it."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compiler import ConfigError, Plan, compile_plan
from compiler.commands import prove, show
from tests.command import call, program, tree, whole
from tests.pooled_plans import ON, POOLS, pools

NAME = "qwen3_30b_a3b_prefill_tp4_x4_decode_ep8"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_plan([*ON, POOLS])


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For reading only."""
    return plan.write(tmp_path_factory.mktemp("pools"))


def contents(path: Path) -> dict[str, Any]:
    return dict(json.loads((path / "plan.json").read_text()))


class TestPlans:
    def test_each_pool_is_a_plan_on_nodes_of_its_own(self, plan: Plan) -> None:
        prefill, decode = plan.parts["prefill"], plan.parts["decode"]
        assert (prefill.world_size, prefill.world.instances, prefill.world.slots.count) == (4, 4, 2)
        assert (decode.world_size, decode.world.instances, decode.world.slots.count) == (8, 1, 1)
        assert decode.groups["ep"].tolist() == [list(range(8))]
        assert plan.to_dict()["ranks"] == 24
        assert plan.name == NAME

    def test_each_does_its_own_phase(self, plan: Plan) -> None:
        alone = {role: part.to_dict()["projection"]["serve"] for role, part in plan.parts.items()}
        assert (len(alone["prefill"]["prefill"]), alone["prefill"]["decode"]) == (3, [])
        assert (alone["decode"]["prefill"], len(alone["decode"]["decode"])) == ([], 3)
        assert {row["phase"] for row in plan.parts["decode"].to_dict()["communication"]} == {"decode"}
        both = plan.to_dict()["projection"]["serve"]
        assert both == {"prefill": alone["prefill"]["prefill"], "decode": alone["decode"]["decode"]}
        assert alone["prefill"]["aggregated"] == alone["decode"]["aggregated"] == []

    def test_the_slower_pool_sets_the_rate(self, plan: Plan) -> None:
        found = plan.to_dict()
        decode = found["projection"]["serve"]["decode"]
        for rate, seen, step in zip(found["rates"], found["served"], decode, strict=True):
            assert rate["prefill_requests_per_s"] == pytest.approx(0.9 * seen["prompts_per_s"])
            assert rate["decode_requests_per_s"] == pytest.approx(0.92 * 128 / step["tpot_s"] / 1024)
            both = rate["prefill_requests_per_s"], rate["decode_requests_per_s"]
            assert rate["requests_per_s"] == min(both)
            assert rate["limited_by"] == ("prefill" if both[0] < both[1] else "decode")
            assert rate["output_tokens_per_s_per_gpu"] == pytest.approx(min(both) * 1024 / 24)

    def test_matched_instances_do_the_same(self, plan: Plan) -> None:
        for rate in plan.to_dict()["rates"]:
            fill = rate["prefill_requests_per_s"] / 4 * rate["matched_prefill_instances"]
            step = rate["decode_requests_per_s"] * rate["matched_decode_instances"]
            if max(rate["matched_prefill_instances"], rate["matched_decode_instances"]) < 32:
                assert fill == pytest.approx(step, rel=0.25)

    def test_what_a_pool_does_not_name_is_the_plans(self) -> None:
        own = "global_batch_size: 16, args: [--log-level, debug]"
        plan = compile_plan(
            [*ON, "parallel=ep8", "parallel.order=tp-cp-pp-ep-dp", pools(own, "parallel: tp8, instances: 2")]
        )
        configs = {role: part.config for role, part in plan.parts.items()}
        assert [configs[role].degrees.name for role in configs] == ["ep8", "tp8"]
        assert [configs[role].workload.global_batch_size for role in configs] == [16, 128]
        assert [configs[role].parallel.order for role in configs] == ["tp-cp-pp-ep-dp"] * 2
        assert [configs[role].framework.args for role in configs] == [["--log-level", "debug"], []]

    def test_degrees_are_a_name_a_file_or_a_mapping(self, tmp_path: Path) -> None:
        (tmp_path / "parallel").mkdir()
        (tmp_path / "parallel" / "mine.yaml").write_text("tp: 2\nep: 4\n")
        (tmp_path / "parallel" / "tp4.yaml").write_text("tp: 2\nadp: 2\n")
        given = pools("parallel: tp4, instances: 4", "parallel: {tp: 8}")
        plan = compile_plan([*ON, given], tmp_path)
        assert [part.world.degrees.name for part in plan.parts.values()] == ["tp2_dp2", "tp8"]
        given = pools("parallel: mine, instances: 2", "parallel: ep8")
        assert compile_plan([*ON, given], tmp_path).parts["prefill"].world.degrees.name == "ep4_tp2"
        shipped = pools("parallel: deepseek_v3_prefill_32", "parallel: deepseek_v3_prefill_32, instances: 2")
        sizes = ["model=deepseek_v3", "hardware=h200", "hardware.nodes=12", "workload.sequence_lengths=[1024]"]
        assert compile_plan([*sizes, shipped]).parts["prefill"].world.degrees.name == "ep32_etp1_tp4_adp8"

    def test_launches_do_not_change_the_fingerprint_and_a_pool_does(self, plan: Plan) -> None:
        assert compile_plan([*ON, POOLS, "launch.python=python3.12"]).fingerprint == plan.fingerprint
        other = pools("parallel: tp8, instances: 2")
        assert compile_plan([*ON, other]).fingerprint != plan.fingerprint


class TestHosts:
    TABLE = "host,leaf,pod,rack,note\n" + "".join(f"n{i},leaf{i // 3},p,r,x{i}\n" for i in (5, 4, 3, 2, 1, 0))

    def hosts(self, tmp_path: Path, *overrides: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        path = tmp_path / "hosts.csv"
        path.write_text(self.TABLE)
        spare = pools("parallel: tp4, instances: 4, spare_nodes: 1", "parallel: ep8, spare_nodes: 2")
        plan = compile_plan([*ON, spare, f"hardware.inventory={path}", *overrides])
        return {role: (part.world.slots.hosts, part.world.slots.spares) for role, part in plan.parts.items()}

    def test_pinned_hosts_are_parted_in_the_order_of_slots(self, tmp_path: Path) -> None:
        assert self.hosts(tmp_path) == {"prefill": (("n0", "n1"), ("n2",)), "decode": (("n3",), ("n4", "n5"))}

    def test_each_pools_own_table_keeps_its_columns(self, tmp_path: Path) -> None:
        path = tmp_path / "hosts.csv"
        path.write_text("".join(self.TABLE.splitlines(keepends=True)[:4]))
        plan = compile_plan([*ON, POOLS, f"hardware.inventory={path}"])
        assert plan.parts["decode"].config.hardware.inventory == "host,leaf,pod,rack,note\nn5,leaf1,p,r,x5\n"

    def test_hosts_that_are_not_pinned_are_for_both(self, tmp_path: Path) -> None:
        assert self.hosts(tmp_path, "hardware.pin=false") == {"prefill": ((), ()), "decode": ((), ())}


class TestFolder:
    def test_holds_two_plan_folders_and_what_is_about_both(self, folder: Path) -> None:
        assert {path.name for path in folder.iterdir()} == {
            *("plan.json", "config.yaml", "report.md", "report.html", "manifest.json"),
            *("prefill", "decode"),
        }
        assert whole(folder)
        for role in ("prefill", "decode"):
            assert whole(folder / role)
            assert (folder / role / "runtime" / "launch.json").exists()
            assert f"| `{role}/` |" in (folder / "report.md").read_text()
            assert contents(folder)["pools"][role]["fingerprint"] == contents(folder / role)["fingerprint"]

    def test_config_yaml_compiles_to_the_same_bytes_on_top_and_below(self, folder: Path, tmp_path: Path) -> None:
        for path in (folder, folder / "prefill", folder / "decode"):
            ran = call("--config-dir", str(path), "--config-name", "config", cwd=tmp_path)
            assert ran.code == 0, ran.err
            assert tree(tmp_path / "out" / contents(path)["name"]) == tree(path)

    def test_local_starts_both_and_ends_with_the_first_failure(self, tmp_path: Path) -> None:
        command = "launch.command=[bash,-c,'echo $RANKPLAN_POOL $RANKPLAN_INSTANCE $RANK of $WORLD_SIZE']"
        plan = compile_plan([*ON, POOLS, "scheduler=local", command])
        done = subprocess.run(
            [plan.write(tmp_path) / "local" / "run.sh"], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        prefill = {f"prefill {instance} {rank} of 4" for instance in range(4) for rank in range(4)}
        assert set(done.stdout.splitlines()) == prefill | {f"decode 0 {rank} of 8" for rank in range(8)}

    def test_a_failing_pool_ends_the_other(self, tmp_path: Path) -> None:
        command = "launch.command=[bash,-c,'[[ $RANKPLAN_POOL == prefill ]] || exit 7; sleep 100']"
        script = compile_plan([*ON, POOLS, "scheduler=local", command]).write(tmp_path) / "local" / "run.sh"
        done = subprocess.run([script], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 7, done.stderr


class TestCommands:
    def test_the_command_line_sums_up_both(self, tmp_path: Path) -> None:
        ran = program(*ON, POOLS, cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert "prefill pool  tp4, 4 ranks x 4 instances on 2 nodes" in ran.out
        assert "prefill fits  yes: " in ran.out
        assert "decode pool   ep8, 8 ranks x 1 instance on 1 node" in ran.out

    def test_a_sweep_has_figures_of_both(self, tmp_path: Path) -> None:
        ran = program(*ON, POOLS, "-m", "workload.pools.decode.parallel=ep8,tp8", "sweep=mine", cwd=tmp_path)
        assert ran.code == 0, ran.err
        place = tmp_path / "out" / "sweeps" / "mine"
        rows = list(csv.DictReader((place / "summary.csv").read_text().splitlines()))
        assert [row["degrees"] for row in rows] == ["tp4 ep8", "tp4 tp8"]
        for row in rows:
            plan = contents(place / row["job"])
            assert int(row["world_size"]) == plan["ranks"]
            assert float(row["ttft_s"]) == plan["projection"]["serve"]["prefill"][-1]["ttft_s"]
            assert float(row["tpot_s"]) == plan["projection"]["serve"]["decode"][-1]["tpot_s"]
            assert float(row["memory_bytes"]) == max(pool["memory"]["total_bytes"] for pool in plan["pools"].values())

    def test_show_names_the_folders_below(self, folder: Path) -> None:
        with pytest.raises(ConfigError) as error:
            show.run([str(folder), "rank=0"])
        assert f"{folder} holds 2 plans ; write {folder / 'decode'} or {folder / 'prefill'}" in str(error.value)
        assert show.run([str(folder / "decode"), "rank=5"]) == 0

    def test_prove_looks_at_both(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plan = compile_plan([*ON, POOLS, "framework=tensorrt_llm"])
        assert prove.run([str(plan.write(tmp_path))]) == 0
        assert "equal   groups ep in plan.json: 1 groups of 8" in capsys.readouterr().out
