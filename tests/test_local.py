"""The smoke test on this machine: every rank a process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.plans import HOSTILE, SmallPlan, plan, write


def local(folder: Path, made: SmallPlan, **environment: str) -> subprocess.CompletedProcess[str]:
    """Write the plan below `folder` and run it from elsewhere."""
    script = write(made, folder) / "local" / "run.sh"
    values = {**os.environ, **environment}
    return subprocess.run([str(script)], cwd="/", env=values, capture_output=True, text=True, timeout=60, check=False)


def small(nodes: int = 2, gpus: int = 8, **given: Any) -> SmallPlan:
    return plan(nodes, gpus, scheduler=("local",), **given)


def test_16_ranks_check_themselves(tmp_path: Path) -> None:
    report = tmp_path / "report"
    done = local(tmp_path / "a plan", small(), RANKPLAN_REPORT=str(report))
    assert done.returncode == 0, done.stderr
    assert sorted(int(line.split()[2]) for line in done.stdout.splitlines()) == list(range(16))
    assert done.stderr == "rankplan: 16 processes ended with exit code 0\n"
    seen = [json.loads(path.read_text()) for path in report.iterdir()]
    rows = sorted((row["rank"], row["node_rank"], row["local_rank"]) for row in seen)
    assert rows == [(rank, rank // 8, rank % 8) for rank in range(16)]


def test_the_first_failure_is_the_exit_code(tmp_path: Path) -> None:
    done = local(tmp_path, small(command=["bash", "-c", "((RANK != 11)) || exit 23; sleep 30"]))
    assert done.returncode == 23
    assert "rank 11 ended with exit code 23; ending the other 15" in done.stderr


def test_values_arrive_unchanged_from_a_hostile_folder(tmp_path: Path) -> None:
    show = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    made = small(1, 1, command=["python3", "-c", show, *HOSTILE.values()], environment=HOSTILE)
    folder = tmp_path / "a \"b\" 'c' $(id) \\ é %j\nx"
    done = local(folder, made)
    assert done.returncode == 0, done.stderr
    arguments, environment = json.loads(done.stdout)
    assert arguments == list(HOSTILE.values())
    assert {name: environment[name] for name in HOSTILE} == HOSTILE
    assert environment["RANKPLAN_PLAN"] == str(folder)


@pytest.mark.parametrize(("options", "ports"), [({"master_port": 23456}, {"23456", "23457"}), ({}, None)])
def test_instances_have_ports_of_their_own(tmp_path: Path, options: dict[str, int], ports: set[str] | None) -> None:
    made = small(2, 2, instances=2, options=options, command=["bash", "-c", "echo $RANKPLAN_INSTANCE:$MASTER_PORT"])
    found = set(local(tmp_path, made, MASTER_PORT="1").stdout.split())
    assert {line.split(":")[0] for line in found} == {"0", "1"}
    assert len(found) == 2
    assert ports in (None, {line.split(":")[1] for line in found})
    assert "0:1" not in found


def test_a_changed_launch_file_is_noticed(tmp_path: Path) -> None:
    script = write(small(1, 2), tmp_path) / "local" / "run.sh"
    launch = tmp_path / "runtime" / "launch.json"
    launch.write_text(launch.read_text() + "\n")
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "sha256 of" in done.stderr


def test_the_script_is_clean(tmp_path: Path) -> None:
    script = write(small(environment=HOSTILE), tmp_path) / "local" / "run.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
