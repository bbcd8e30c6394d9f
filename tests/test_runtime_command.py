"""After the self-check the rank's command runs with its own variables, values, secrets, signals and logs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from compiler.schedulers.runtime_files import digest
from tests.plans import HOSTILE, plan, write
from tests.probes import ECHO, RANK_5, line, probe


def test_slurm_ranks_come_from_the_step(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=[sys.executable, "-c", ECHO]), tmp_path)
    unset = dict.fromkeys(RANK_5, "UNSET")
    step = {**unset, "MASTER_PORT": "1", "SLURM_PROCID": "6", "SLURM_LOCALID": "2", "SLURM_STEP_NUM_TASKS": "8"}
    found = json.loads(probe(folder, "--slurm", **step).stdout)[1]
    assert {key: found[key] for key in RANK_5 if key in found and not key.startswith("MASTER")} == {
        "RANK": "6", "WORLD_SIZE": "8", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "4", "NODE_RANK": "1"
    }  # fmt: skip
    done = probe(folder, "--slurm", **{**step, "SLURM_STEP_NUM_TASKS": "4"})
    assert (done.returncode, "tasks of the step: expected 8, found 4" in done.stderr) == (64, True)


def test_a_variable_is_completed_on_the_node(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=[sys.executable, "-c", ECHO]), tmp_path)
    path = folder / "runtime" / "launch.json"
    variable = {"text": "{MASTER_ADDR}:{MASTER_PORT}/{NODE_RANK}", "times": 1}
    path.write_text(json.dumps({**json.loads(path.read_text()), "computed_environment": {"COORDINATOR": variable}}))
    assert json.loads(probe(folder).stdout)[1]["COORDINATOR"] == "127.0.0.1:1234/1"


def test_a_whole_node_has_no_rank(tmp_path: Path) -> None:
    folder = write(plan(2, 4, unit="node", command=[sys.executable, "-c", ECHO]), tmp_path)
    step = {**dict.fromkeys(RANK_5, "UNSET"), "MASTER_PORT": "1"}
    step |= {"SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    found = json.loads(probe(folder, "--slurm", **step).stdout)[1]
    assert found["NODE_RANK"] == "1"
    assert not {"RANK", "LOCAL_RANK"} & set(found)


def test_command_and_environment_arrive_unchanged(tmp_path: Path) -> None:
    made = plan(2, 4, command=[sys.executable, "-c", ECHO, *HOSTILE.values()], environment=HOSTILE)
    done = probe(write(made, tmp_path), **HOSTILE)
    arguments, environment = json.loads(done.stdout)
    assert arguments == list(HOSTILE.values())
    assert {name: environment[name] for name in HOSTILE} == HOSTILE


def test_the_exit_code_is_the_commands_own(tmp_path: Path) -> None:
    assert probe(write(plan(2, 4, command=["sh", "-c", "exit 7"]), tmp_path)).returncode == 7


def test_the_command_gets_default_signals(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and would hand that down."""
    folder = write(plan(2, 4, command=["sh", "-c", "grep SigIgn /proc/$$/status"]), tmp_path)
    assert int(probe(folder).stdout.split()[1], 16) & (1 << 12) == 0


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (
            {"command": ["no-such-program"]},
            "command 'no-such-program': expected one that can be used, found No such file",
        ),
        (
            {"command": ["true"], "workdir": "/no/such"},
            "workdir '/no/such': expected one that can be used, found No such file",
        ),
        ({"command": ["true"], "secrets": {"TOKEN": "/no/such"}}, "secret TOKEN: /no/such: No such file or directory"),
    ],
)
def test_what_cannot_start_is_a_wrong_configuration(tmp_path: Path, launch: dict[str, Any], message: str) -> None:
    done = probe(write(plan(2, 4, **launch), tmp_path))
    assert done.returncode == 64
    assert message in line(done.stderr)


def test_a_secret_is_read_where_the_rank_runs(tmp_path: Path) -> None:
    secret = tmp_path / "a $(secret)"
    secret.write_text("s3cr3t\nlines\n")
    made = plan(2, 4, command=["sh", "-c", 'printf %s "$TOKEN"'], secrets={"TOKEN": str(secret)})
    folder = write(made, tmp_path / "plan")
    assert probe(folder).stdout == "s3cr3t\nlines"
    assert probe(folder, TOKEN="from the launcher").stdout == "from the launcher"
    assert all("s3cr3t" not in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_logs_and_reports_are_a_file_a_rank(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=["sh", "-c", "echo out; echo err >&2"]), tmp_path / "plan")
    logs = tmp_path / "logs"
    logs.mkdir()
    report = tmp_path / "report"
    for _ in range(2):
        assert probe(folder, RANKPLAN_LOGS=str(logs), RANKPLAN_REPORT=str(report)).stdout == ""
    assert (logs / "rank-5.log").read_text() == "out\nerr\n" * 2
    assert [path.name for path in report.iterdir()] == ["0-rank-5.json"]
    seen = json.loads((report / "0-rank-5.json").read_text())
    assert (seen["rank"], seen["node_rank"], seen["local_rank"], seen["host"]) == (5, 1, 1, "node2")
    assert seen["environment_sha256"] == digest("")


def test_errors_after_the_logs_opened_reach_the_launcher(tmp_path: Path) -> None:
    folder = write(plan(2, 4, command=["no-such-program"]), tmp_path)
    done = probe(folder, RANKPLAN_LOGS=str(tmp_path))
    assert (done.returncode, "no-such-program" in done.stderr) == (64, True)
    assert probe(folder, RANKPLAN_LOGS=os.devnull).returncode == 64
