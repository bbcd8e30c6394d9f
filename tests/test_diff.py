"""`diff` as a command: its first line, its exit codes, its forms, and that it counts what the tables say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compiler import ConfigError, compile_plan
from compiler.config.again import compiled
from compiler.diff.command import run
from tests.command import ROOT
from tests.diffed import POOLS, Folder, changes, compared, compiled_in, copied

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return compiled_in(tmp_path_factory.mktemp("diff"))


class TestVerdict:
    def test_a_plan_and_itself_are_identical(self, plan: Folder, tmp_path: Path, capsys: Capture) -> None:
        for other in (plan("dense"), copied(plan("dense"), tmp_path / "copy")):
            assert run([str(plan("dense")), str(other)]) == 0
            assert capsys.readouterr().out == "identical\n"

    def test_the_first_line_is_the_verdict_and_the_code_says_whether_anything_that_runs_differs(
        self, plan: Folder, capsys: Capture
    ) -> None:
        assert run([str(plan("dense")), str(plan("reordered"))]) == 1
        assert capsys.readouterr().out.splitlines()[0] == "restart"
        assert run([str(plan("dense")), "name=other"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "cosmetic"
        assert run([str(plan("dense")), str(plan("staged"))]) == 1
        assert capsys.readouterr().out.splitlines()[0] == "reshard"

    def test_what_is_allowed_exits_0(self, plan: Folder) -> None:
        pair = [str(plan("dense")), str(plan("staged"))]
        assert [run([*pair, "--allow", verdict]) for verdict in ("restart", "reshard", "breaks-resume")] == [1, 0, 0]
        with pytest.raises(ConfigError, match="argument --allow: invalid choice: 'all'"):
            run([*pair, "--allow", "all"])

    def test_overrides_are_what_compiling_with_them_gives(self, plan: Folder) -> None:
        assert run([str(plan("moe")), "parallel=tp2_pp2_adp8_ep8_etp1", "--json"]) == run(
            [str(plan("moe")), str(plan("moe8")), "--json"]
        )

    def test_claims_about_a_model_go_with_it(self, tmp_path: Path, capsys: Capture) -> None:
        old = compile_plan(["scheduler=[]"]).write(tmp_path, "old")
        run([str(old), "model=mixtral_8x7b", "parallel=ep8_tp4_pp4_dp8", "--json"])
        found = {change["what"]: change["after"] for change in json.loads(capsys.readouterr().out)["changes"]}
        assert (found["expect.model"], found["model.name"]) == ("none", "mixtral_8x7b")

    def test_overrides_of_a_group_replace_it(self, plan: Folder, capsys: Capture) -> None:
        run([str(plan("dense")), "parallel=tp8_adp2", "scheduler=[slurm]", "--json"])
        found = {change["what"]: change["after"] for change in json.loads(capsys.readouterr().out)["changes"]}
        assert (found["parallel.tp"], found["parallel.pp"], found["scheduler"]) == ("8", "1", "slurm")


class TestForms:
    def test_json_holds_every_change_and_the_reasons(self, plan: Folder, capsys: Capture) -> None:
        run([str(plan("moe")), str(plan("moe8")), "--json"])
        found = json.loads(capsys.readouterr().out)
        assert found["verdict"] == "reshard"
        assert [reason["what"] for reason in found["reasons"]] == ["ep"]
        assert {change["topic"] for change in found["changes"]} >= {
            "settings",
            "checkpoint",
            "groups",
            "layers",
            "files",
        }

    def test_long_lists_are_cut_unless_all_is_asked_for(self, plan: Folder, capsys: Capture) -> None:
        given = [str(plan("dense")), *(f"launch.environment.A{number}=1" for number in range(20))]
        run(given)
        assert "  .." in capsys.readouterr().out.splitlines()
        run([*given, "--all"])
        assert "  .." not in capsys.readouterr().out.splitlines()

    def test_markdown_shows_hostile_values_as_code(self, plan: Folder, capsys: Capture) -> None:
        hostile = "launch.environment.A='<img src=x>|`@all`[a](b)'"
        run([str(plan("dense")), hostile, "--markdown"])
        out = capsys.readouterr().out
        assert out.startswith("## restart\n")
        row = next(line for line in out.splitlines() if line.startswith("| `launch.environment.A`"))
        assert row == "| `launch.environment.A` | `nothing` | `<img src=x>\\|'@all'[a](b)` | restart |"

    def test_no_escape_reaches_a_terminal(self, plan: Folder, capsys: Capture) -> None:
        run([str(plan("dense")), "launch.environment.A='\x1b[31m'"])
        assert "\x1b" not in capsys.readouterr().out


class TestEstimates:
    def test_warnings_come_and_go(self, plan: Folder, tmp_path: Path) -> None:
        other = compiled(plan("dense"), ["scheduler=[slurm]"]).write(tmp_path, "other")
        gone, come = (changes(compared(*pair), "checks") for pair in ((plan("dense"), other), (other, plan("dense"))))
        assert [line for line in gone if line.startswith("warning gang: ") and line.endswith(" -> nothing")]
        assert [line for line in come if line.startswith("warning gang: nothing -> ")]

    @pytest.mark.parametrize(("part", "tie"), [(0.99, True), (0.1, False)])
    def test_times_that_cannot_be_told_apart_are_a_tie(
        self, plan: Folder, tmp_path: Path, part: float, tie: bool
    ) -> None:
        given = [f"hardware.gpu.memory_bandwidth={3.35e12 * part}", f"hardware.nvlink.bandwidth={450e9 * part}"]
        new = compiled(plan("dense"), [*given, f"hardware.nic.bandwidth={50e9 * part}"]).write(tmp_path, "new")
        step = next(line for line in changes(compared(plan("dense"), new), "costs") if line.startswith("step"))
        assert ("a tie: the old one lies in its interval" in step) == tie


class TestPools:
    def test_a_pool_is_named(self, plan: Folder) -> None:
        found = compared(plan("pools"), plan("pools2"))
        assert found.verdict == "restart"
        assert found.meaning.startswith("the servers must start again; they save no state")
        assert "prefill ranks: 8 -> 4 x 2" in changes(found, "ranks")
        assert not any(line.startswith("decode ") for line in changes(found, "ranks"))

    def test_a_plan_and_pools(self, plan: Folder, tmp_path: Path) -> None:
        served = compile_plan([*POOLS, "workload=serve", "parallel=tp8", "framework.instances=2"]).write(
            tmp_path, "served"
        )
        assert "pools: one plan -> prefill and decode" in changes(compared(served, plan("pools")), "settings")

    def test_a_pool_alone_is_a_plan(self, plan: Folder) -> None:
        assert compared(plan("pools") / "decode", plan("pools2") / "decode").verdict == "cosmetic"


@pytest.mark.parametrize("word", [["compiler.diff"], ["compiler.rankplan", "diff"]])
def test_two_plans_of_16384_ranks_take_under_2_seconds(tmp_path: Path, word: list[str]) -> None:
    given = [
        "framework=megatron",
        "model=llama3_1_405b",
        "parallel=llama3_405b_16384",
        "workload=train",
        "hardware=h100_80gb",
    ]
    given += ["hardware.nodes=2048", "workload.global_batch_size=2048", "workload.recompute=full"]
    compile_plan(given).write(tmp_path, "old")
    compile_plan([*given, "parallel.tp=4", "parallel.dp=256", "parallel.order=tp-cp-ep-pp-dp"]).write(tmp_path, "new")
    start = os.times()
    command = [sys.executable, "-c", "import sys, importlib; importlib.import_module(sys.argv[1]).main(sys.argv[2:])"]
    command = [sys.executable, "-m", *word, "old", "new"] if len(word) == 1 else [*command, *word, "old", "new"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    took = os.times()
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[0] == "breaks-resume"
    assert "layers 0-125 change place on 15,360 ranks" in done.stdout
    assert took.children_user + took.children_system - start.children_user - start.children_system < 2
