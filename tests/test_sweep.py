"""Many plans from one command: folders, names, one summary; failures are collected, bad spellings refused."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from compiler import sweep as sweeping
from compiler.sweep import Task
from compiler.sweep_summary import COLUMNS
from compiler.words import figures as figures_cut
from tests.command import BARE, STRATEGY, program, refused, tree, whole

LEAN = [BARE, "~expect", "-m"]
HEADER = (
    "job,overrides,status,world_size,degrees,memory_bytes,memory_fraction,"
    "step_time_s,ttft_s,tpot_s,tokens_per_s_per_gpu,message,requests_per_s,requests_per_s_per_gpu"
)


def only_plans(cwd: Path) -> None:
    """No clutter of Hydra's, no scratch files of ours."""
    for path in tree(cwd):
        name = Path(path).name
        assert name not in ("outputs", "multirun", ".hydra", "multirun.yaml"), path
        assert not name.startswith("."), path
        assert not name.endswith((".log", ".row.json")), path


def summary(folder: Path) -> list[dict[str, str]]:
    text = (folder / "summary.csv").read_text()
    assert text.startswith(HEADER + "\n")
    return list(csv.DictReader(text.splitlines()))


def agrees(folder: Path, row: dict[str, str]) -> None:
    """A row of the summary says what the plan's own files say."""
    assert whole(folder / row["job"])
    plan: dict[str, Any] = json.loads((folder / row["job"] / "plan.json").read_text())
    memory, projection = plan["memory"], plan["projection"]
    assert row["status"] == "ok"
    assert row["message"] == ""
    assert int(row["world_size"]) == plan["world_size"]
    assert row["degrees"] == plan["degrees"]["name"]
    assert float(row["memory_bytes"]) == memory["total_bytes"]
    assert float(row["memory_fraction"]) == pytest.approx(memory["total_bytes"] / memory["capacity_bytes"], abs=1e-6)
    if "train" in projection:
        assert float(row["step_time_s"]) == projection["train"]["step_time_s"]
        assert (row["ttft_s"], row["tpot_s"]) == ("", "")
        assert float(row["tokens_per_s_per_gpu"]) == projection["train"]["tokens_per_s_per_gpu"]
    else:
        prefill, decode = projection["serve"]["prefill"][-1], projection["serve"]["decode"][-1]
        assert row["step_time_s"] == ""
        assert float(row["ttft_s"]) == prefill["ttft_s"]
        assert float(row["tpot_s"]) == decode["tpot_s"]
        both = projection["serve"]["aggregated"][-1]
        assert (
            float(row["tokens_per_s_per_gpu"]) == both["output_tokens_per_s_per_gpu"] < decode["tokens_per_s_per_gpu"]
        )
        assert float(row["requests_per_s"]) == both["requests_per_s"] * plan["instances"]
        each = figures_cut(both["requests_per_s"] / plan["world_size"])
        assert float(row["requests_per_s_per_gpu"]) == each


class TestJobs:
    def test_those_that_pass_are_written_and_those_that_fail_are_collected(self, tmp_path: Path) -> None:
        names = "ep16_tp4_pp4_dp4,ep3_tp4,ep8_tp8_pp4_dp4"
        ran = program(*LEAN, f"parallel={names}", cwd=tmp_path)
        assert ran.code == 1
        (folder,) = (tmp_path / "out" / "sweeps").iterdir()
        table = summary(folder)
        assert [row["overrides"] for row in table] == [f"parallel={name}" for name in names.split(",")]
        assert [row["status"] for row in table] == ["ok", "3", "ok"]
        assert [row["job"] for row in table] == [f"moe_30b_{name}" for name in names.split(",")]
        for row in (table[0], table[2]):
            agrees(folder, row)
        assert "world-size: tp4 x cp1 x adp3 x pp1 = 12 ranks" in table[1]["message"]
        assert len(table[1]["message"].split(" | ")) == len(ran.errors) > 1
        assert all(line.startswith("error: parallel=ep3_tp4: ") for line in ran.errors)
        assert {path.name for path in folder.iterdir()} == {
            "summary.csv",
            "report.html",
            table[0]["job"],
            table[2]["job"],
        }
        second, memory, first = ran.out.splitlines()
        assert memory.startswith("memory: ")
        assert first.startswith("2 of 3 plans in out/sweeps/")
        best = max((table[0], table[2]), key=lambda row: float(row["tokens_per_s_per_gpu"]))
        assert second.startswith(f"best by throughput: {best['job']}, ")
        assert "output tokens/s/GPU; within its interval: moe_30b_ep" in second
        only_plans(tmp_path)

    def test_names_show_swept_values_that_a_plans_name_does_not(self, tmp_path: Path) -> None:
        ran = program(
            *LEAN,
            "hardware.nodes=64,128",
            "parallel=ep16_tp4_pp4_dp2",
            "workload=serve,train",
            "workload.global_batch_size=1024",
            "sweep=mine",
            "out=far/away",
            cwd=tmp_path,
        )
        assert ran.code == 1
        folder = tmp_path / "far" / "away" / "sweeps" / "mine"
        table = summary(folder)
        assert [row["overrides"] for row in table] == [
            f"hardware.nodes={nodes} workload={kind}" for nodes in (64, 128) for kind in ("serve", "train")
        ]
        assert [row["status"] for row in table] == ["ok", "ok", "3", "3"]
        assert [row["job"] for row in table][:2] == [
            "moe_30b_ep16_tp4_pp4_dp2_nodes-64_workload-serve",
            "moe_30b_ep16_tp4_pp4_dp2_train_nodes-64_workload-train",
        ]
        for row in table[:2]:
            agrees(folder, row)
        assert list((tmp_path / "far" / "away").iterdir()) == [folder.parent]
        only_plans(tmp_path)

    def test_values_that_are_bad_in_themselves_are_collected_too(self, tmp_path: Path) -> None:
        ran = program(*LEAN, "hardware.nodes=0,128", "launch.environment.A=a/b,a-b", "sweep=mine", cwd=tmp_path)
        assert ran.code == 1
        table = summary(tmp_path / "out" / "sweeps" / "mine")
        assert [row["status"] for row in table] == ["2", "2", "ok", "ok"]
        assert table[0]["message"] == "hardware.nodes=0 is below 1 ; write 1 or more"
        assert table[2]["overrides"] == "hardware.nodes=128 launch.environment.A=a/b"
        words = [f"A-a-b-{hashlib.sha256(b'a/b').hexdigest()[:8]}", "A-a-b"]
        assert [row["job"] for row in table[2:]] == [f"{STRATEGY}_nodes-128_{word}" for word in words]

    def test_a_word_that_no_setting_knows_is_refused_before_any_job(self, tmp_path: Path) -> None:
        err = refused(tmp_path, *LEAN, "hardware.nodes=64,128", "launch.spans=warn,foo", code=2).err
        assert err == "error: launch.spans=foo is not a known value ; write one of warn, require\n"

    def test_a_job_is_not_named_twice(self, tmp_path: Path) -> None:
        ran = program(*LEAN, "hardware.nodes=0,128", "sweep=mine", cwd=tmp_path)
        assert "error: hardware.nodes=0 is below 1 ; write 1 or more\n" in ran.err

    def test_a_second_run_gives_the_same_bytes_and_a_plan_compiles_alone(self, tmp_path: Path) -> None:
        command = [*LEAN, "parallel.order=tp-cp-ep-dp-pp,tp-cp-ep-pp-dp", "parallel=tp4_pp4_dp64_ep1"]
        assert program(*command, cwd=tmp_path, PYTHONHASHSEED="1").code == 0
        first = tree(tmp_path)
        assert program(*command, cwd=tmp_path, PYTHONHASHSEED="2").code == 0
        assert tree(tmp_path) == first
        (folder,) = (tmp_path / "out" / "sweeps").iterdir()
        row = summary(folder)[1]
        ran = program("--config-dir", str(folder / row["job"]), "--config-name=config", "out=again", cwd=tmp_path)
        assert ran.code == 0, ran.err
        (again,) = (tmp_path / "again").iterdir()
        assert tree(again) == tree(folder / row["job"])


class TestKept:
    """What is in a sweep's folder and not the sweep's."""

    def test_a_job_whose_folder_is_somebodys_fails_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "out" / "sweeps" / "mine"
        job = "moe_30b_ep8_tp8_pp4_dp4"
        (folder / job / "src").mkdir(parents=True)
        (folder / job / "src" / "main.py").write_text("print()")
        (folder / "notes.txt").write_text("mine")
        (folder / "other" / "deep").mkdir(parents=True)
        before = tree(folder)
        for _ in range(2):
            ran = program(*LEAN, "parallel=ep8_tp8_pp4_dp4,ep16_tp4_pp4_dp4", "sweep=mine", cwd=tmp_path)
            assert ran.code == 1
            found = [(row["job"], row["status"]) for row in summary(folder)]
            assert found == [(job, "4"), (STRATEGY, "ok")]
            assert f"out/sweeps/mine/{job} is no plan folder: it holds no manifest.json of rankplan's" in ran.err
            (folder / STRATEGY / "rankplan-7").mkdir(exist_ok=True)
            (folder / STRATEGY / "rankplan-7" / "log").write_text("mine")
        assert {path: found for path, found in tree(folder).items() if path in before} == before
        assert (folder / STRATEGY / "rankplan-7" / "log").read_text() == "mine"

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    def test_a_summary_that_is_somebodys_stops_the_sweep_before_any_job(self, tmp_path: Path, kind: str) -> None:
        place = tmp_path / "out" / "sweeps" / "mine" / "summary.csv"
        place.parent.mkdir(parents=True)
        if kind == "folder":
            place.mkdir()
        elif kind == "link":
            place.symlink_to("nowhere")
        else:
            place.write_text("month,sum\n1,2\n")
        refused(tmp_path, *LEAN, "parallel=ep16_tp4_pp4_dp4", "sweep=mine", code=4)

    def test_a_folder_for_its_state_is_left_as_it_was(self, tmp_path: Path) -> None:
        """Rows of another sweep are not read, and files of other people not replaced."""
        state = tmp_path / "state"
        state.mkdir()
        (state / "0.row.json").write_text("mine")
        (state / "row-0.json").write_text("mine")
        before = tree(state)
        ran = program(*LEAN, "parallel=ep16_tp4_pp4_dp4", f"hydra.sweep.dir={state}", "sweep=mine", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert {path: found for path, found in tree(state).items() if path != "multirun.yaml"} == before  # Hydra's
        assert len(summary(tmp_path / "out" / "sweeps" / "mine")) == 1

    @pytest.mark.parametrize("place", ["hydra.sweep.dir='my dir'", "++hydra.sweep.dir=logs", "hydra.sweep.dir=${name}"])
    def test_hydras_own_folder_may_be_spelt_anyhow(self, tmp_path: Path, place: str) -> None:
        ran = program(*LEAN, "parallel=ep16_tp4_pp4_dp4", "name=mine", place, "sweep=mine", cwd=tmp_path)
        assert ran.code == 0, ran.err
        assert len(summary(tmp_path / "out" / "sweeps" / "mine")) == 1

    def test_a_plan_is_not_written_over_all_sweeps(self, tmp_path: Path) -> None:
        assert program(*LEAN, "parallel=ep16_tp4_pp4_dp4", "sweep=mine", cwd=tmp_path).code == 0
        for place in (["name=sweeps"], ["out=out/sweeps", "name=mine"]):
            assert "is no plan folder" in refused(tmp_path, BARE, *place, code=4).err


def test_the_columns_are_those_of_the_contract() -> None:
    assert ",".join(COLUMNS) == HEADER


def test_a_sweep_that_ends_early_leaves_nothing_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(task: Task, *_: object) -> None:
        (Path(task.rows) / "row-0.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "start", ended)
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        sweeping.sweep([*LEAN[:2], f"hydra.sweep.dir={tmp_path}", "name=a,b"], None, None)
    assert set(tree(tmp_path)) == {"mine.json"}


def test_fixes_of_a_job_are_tried_on_its_own_primary_configuration(tmp_path: Path) -> None:
    """Its fixes would not be found where the shipped one, with its 16 nodes, was what they are tried on."""
    (tmp_path / "mine.yaml").write_text(
        "defaults: [rankplan_schema, config, _self_]\nhardware: {nodes: 4}\nscheduler: {}\n"
    )
    job = program("--config-dir=.", "--config-name=mine", "~expect", "parallel=ep16_tp4_pp4_dp4", cwd=tmp_path)
    swept = program("--config-dir=.", "--config-name=mine", "~expect", "-m", "parallel=ep16_tp4_pp4_dp4", cwd=tmp_path)
    assert job.errors == swept.errors
