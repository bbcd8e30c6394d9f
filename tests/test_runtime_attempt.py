"""The life of a job over its restarts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.plans import plan, write

FAR, NEAR = "99999999999", "0"


def ask(folder: Path, *words: str, job: str = "7", code: int = 0) -> tuple[str, str]:
    """What attempt.py answers and says."""
    (folder / "run").mkdir(exist_ok=True)
    command = [sys.executable, "-I", "-S", str(folder / "runtime" / "attempt.py"), str(folder / "run"), *words]
    done = subprocess.run(command, env={"SLURM_JOB_ID": job}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip(), done.stderr.strip()


def attempts(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / "run" / "summary.json").read_text())
    assert (found["schema"], found["name"], found["job"]) == ("rankplan.summary/1", "small", "7")
    return list(found["attempts"])


def fail(folder: Path, text: str, attempt: int = 0, instance: int = 0) -> None:
    logs = folder / "run" / "logs" / f"attempt-{attempt}" / f"instance-{instance}"
    logs.mkdir(parents=True)
    (logs / "first-failure").write_text(text)


@pytest.mark.parametrize(
    ("launch", "end", "answer", "outcome"),
    [
        ({}, ("none", FAR, "0"), "0", "finished"),
        ({}, ("none", FAR, "7"), "7", "failed"),
        ({}, ("TERM", FAR, "0"), "0", "finished"),
        ({}, ("TERM", NEAR, "143"), "143", "failed"),
        ({}, ("TERM", FAR), "143", "failed"),
        ({}, ("USR1", NEAR, "0"), "requeue", "requeued"),
        ({}, ("USR1", FAR, "0", "0"), "requeue", "requeued"),
        ({}, ("USR1", NEAR, "138"), "requeue", "requeued"),
        ({}, ("USR1", NEAR), "requeue", "requeued"),
        ({}, ("USR1", FAR, "3"), "3", "failed"),
        ({"max_restarts": 0}, ("USR1", NEAR, "0"), "0", "stopped: launch.max_restarts is 0"),
        ({"restart_codes": [7]}, ("none", FAR, "7"), "requeue", "requeued"),
        ({"restart_codes": [7], "max_restarts": 0}, ("none", FAR, "7"), "7", "stopped: launch.max_restarts is 0"),
    ],
)
def test_what_follows_from_an_end(
    tmp_path: Path, launch: dict[str, Any], end: tuple[str, ...], answer: str, outcome: str
) -> None:
    folder = write(plan(**launch), tmp_path)
    assert ask(folder, "begin", "0") == ("run", "")
    found, said = ask(folder, "end", "0", *end)
    assert found == answer
    assert said.startswith(f"rankplan: attempt 0 {outcome}")
    assert attempts(folder)[0]["outcome"] == outcome


def test_the_cap_stops_restarts_and_says_that_the_work_is_not_done(tmp_path: Path) -> None:
    folder = write(plan(max_restarts=1), tmp_path)
    for attempt, answer in (("0", "requeue"), ("1", "1")):
        assert ask(folder, "begin", attempt)[0] == "run"
        assert ask(folder, "end", attempt, "USR1", NEAR, "0")[0] == answer
    assert ask(folder, "begin", "2") == ("1", "rankplan: this job was restarted 2 times; launch.max_restarts is 1")
    assert [row["outcome"] for row in attempts(folder)] == ["requeued", "stopped: launch.max_restarts is 1"]


@pytest.mark.parametrize("folder_of_many", [True, False])
def test_restarts_without_progress_stop(tmp_path: Path, folder_of_many: bool) -> None:
    saved = tmp_path / "saved"
    folder = write(plan(checkpoint=str(saved), max_restarts=9), tmp_path / "plan")

    def save() -> None:
        if folder_of_many:
            (saved / str(time.monotonic_ns())).mkdir(parents=True)
        else:
            saved.write_text(str(time.monotonic_ns()))

    for attempt, saves, answer in ((0, False, "requeue"), (1, True, "requeue"), (2, False, "requeue"), (3, False, "1")):
        assert ask(folder, "begin", str(attempt))[0] == "run"
        if saves:
            save()
        assert ask(folder, "end", str(attempt), "USR1", NEAR, "0")[0] == answer, attempt
    stopped = "stopped: no new checkpoint in 2 attempts, and launch.max_idle_restarts is 1"
    assert attempts(folder)[3]["outcome"] == stopped
    assert ask(folder, "begin", "4")[0] == "1"


def test_ranks_may_report_progress_themselves(tmp_path: Path) -> None:
    folder = write(plan(max_idle_restarts=0), tmp_path)
    ask(folder, "begin", "0")
    (folder / "run" / "progress").write_text("step 100")
    assert ask(folder, "end", "0", "USR1", NEAR, "0")[0] == "requeue"
    assert ask(folder, "begin", "1")[0] == "run"
    assert ask(folder, "end", "1", "USR1", NEAR, "0")[0] == "1"


def test_finished_work_is_not_started_again(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    (folder / "run").mkdir()
    (folder / "run" / "done").write_text("")  # of another job
    assert ask(folder, "begin", "0")[0] == "run"
    assert not (folder / "run" / "done").exists()
    (folder / "run" / "done").write_text("")
    assert ask(folder, "end", "0", "USR1", NEAR, "0")[0] == "0"
    assert ask(folder, "begin", "1") == ("0", "rankplan: an attempt before this one finished the work")


def test_an_attempt_that_slurm_ended_is_in_the_summary(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    ask(folder, "begin", "0")
    assert ask(folder, "begin", "1")[0] == "run"
    assert attempts(folder)[0]["outcome"].startswith("ended by Slurm: a node failure")
    ask(folder, "begin", "0", job="8")
    assert len(json.loads((folder / "run" / "summary.json").read_text())["attempts"]) == 1


def test_the_first_failing_rank_is_named_with_its_host_and_exit(tmp_path: Path) -> None:
    folder = write(plan(2, 8, instances=2), tmp_path)
    ask(folder, "begin", "0")
    fail(folder, "66 rank 5 on node002\n", instance=1)
    answer, said = ask(folder, "end", "0", "none", FAR, "0", "143")
    assert answer == "66"
    assert "attempt 0 failed, instance 1: rank 5 on node002 ended first, with exit code 66; see " in said
    assert said.count("\n") == 0
    failure = {"instance": 1, "code": 66, "who": "rank 5 on node002", "host": "node002"}
    assert attempts(folder)[0]["failures"] == [failure]
    assert (folder / "run" / "exclude").read_text() == "node002 failed the self-check of rank 5\n"


def test_a_broken_summary_is_one_line(tmp_path: Path) -> None:
    folder = write(plan(), tmp_path)
    (folder / "run").mkdir()
    (folder / "run" / "summary.json").write_text("{")
    assert ask(folder, "begin", "0", code=64)[1].startswith("rankplan: begin of attempt 0: ")
