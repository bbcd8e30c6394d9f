"""`show PLAN job=...`: the file that starts a plan, as it is; and errors for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler import compile_plan
from compiler.commands import calibrate, check, impact, prove, repair, show
from compiler.commands.show import run
from compiler.diff import command as diff
from compiler.errors import ConfigError
from tests.command import call

SMALL = ["model=llama3_1_8b", "parallel=tp8", "hardware.nodes=1", "~expect", "workload.sequence_lengths=[128]"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_plan([*SMALL, "scheduler=[slurm,local,jobset]"]).write(tmp_path_factory.mktemp("job"))


def test_a_job_file_is_printed_as_it_is(folder: Path, capsys: Capture) -> None:
    assert run([str(folder), "job=slurm"]) == 0
    assert capsys.readouterr().out == (folder / "slurm" / "job.sbatch").read_text()
    assert run([str(folder), "job=local"]) == 0
    assert capsys.readouterr().out == (folder / "local" / "run.sh").read_text()


@pytest.mark.parametrize("word", ["kubernetes", "jobset"])
def test_manifests_without_the_plans_own_files(folder: Path, capsys: Capture, word: str) -> None:
    assert run([str(folder), f"job={word}", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    names = {f"kubernetes/{path.name}" for path in (folder / "kubernetes").iterdir()}
    assert set(answer["files"]) == names - {"kubernetes/configmap.yaml"}
    assert answer["files"]["kubernetes/jobset.yaml"] == (folder / "kubernetes" / "jobset.yaml").read_text()


def test_another_target_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"job=slrum: .* has no such job ; did you mean job=slurm\?"):
        run([str(folder), "job=slrum"])
    with pytest.raises(ConfigError, match="nowhere is no plan folder ; name a folder"):
        run(["nowhere", "job=slurm"])
    with pytest.raises(ConfigError, match="has no such job ; compile it with scheduler=slurm"):
        run([str(folder / "slurm"), "job=slurm"])


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (show.main, ["nowhere", "rank=0"]),
        (check.main, ["nowhere"]),
        (diff.main, ["nowhere", "nowhere"]),
        (impact.main, ["nowhere", "--lost", "slot=0"]),
        (repair.main, ["nowhere", "--lost", "slot=0"]),
        (prove.main, ["nowhere"]),
        (calibrate.main, ["nowhere", "--hardware", "h100_80gb", "--out", "x.yaml"]),
    ],
)
def test_errors_are_json_where_a_program_asks(command: object, args: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        command([*args, "--json"])  # type: ignore[operator] # a main each
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert ended.value.code == told["exit"] == 2
    assert [f"error: {problem['error']}" for problem in told["errors"]] == err.splitlines()
    assert all(problem["instead"] and problem["error"].endswith(problem["instead"]) for problem in told["errors"])


def test_a_compile_answers_programs(tmp_path: Path) -> None:
    ran = call(*SMALL, "scheduler=[]", "--json", cwd=tmp_path)
    told = json.loads(ran.out)
    assert (ran.code, told["folder"]) == (0, f"out/{told['plan']}")
    plan = json.loads((tmp_path / told["folder"] / "plan.json").read_text())
    assert (told["fingerprint"], told["projection"]) == (plan["fingerprint"], plan["projection"])
    assert told["answers"][0]["question"] == "fits"
    ran = call(*SMALL, "parallel=tp3", "--json", cwd=tmp_path)
    assert (ran.code, json.loads(ran.out)["exit"]) == (3, 3)
