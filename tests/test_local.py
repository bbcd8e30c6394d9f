"""The smoke test on this machine: every rank a process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compiler.render.atomic import write_folder
from compiler.render.folder import manifest
from tests.plans import HOSTILE, SmallPlan, files, plan, write
from tests.slurm_cluster import until


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
    until(lambda: not Path(environment["RANKPLAN_PLAN"]).parent.exists(), "the copy of the plan to go", 10)


@pytest.mark.parametrize(("options", "ports"), [({"master_port": 23456}, {"23456", "23457"}), ({}, None)])
def test_instances_have_ports_of_their_own(tmp_path: Path, options: dict[str, int], ports: set[str] | None) -> None:
    made = small(2, 2, instances=2, options=options, command=["bash", "-c", "echo $RANKPLAN_INSTANCE:$MASTER_PORT"])
    found = set(local(tmp_path, made, MASTER_PORT="1").stdout.split())
    assert {line.split(":")[0] for line in found} == {"0", "1"}
    assert len(found) == 2
    assert ports in (None, {line.split(":")[1] for line in found})
    assert "0:1" not in found


@pytest.mark.parametrize("name", ["manifest.json", "launch.json", "runtime/spawn.py"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    script = write(small(1, 1), tmp_path) / "local" / "run.sh"
    path = next(script.parents[1].rglob(name.rpartition("/")[2]))
    path.unlink()
    os.mkfifo(path)
    done = subprocess.run([str(script)], cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 64
    (line,) = done.stderr.splitlines()
    assert line.endswith(": one is missing or no regular file")


LIVES = """
cd "$RANKPLAN_PLAN"
echo ready >&2
while [[ ! -e "$STOP" ]]; do sleep 0.1; done
sha256sum --check --quiet <(sed -n 's/^  "\\(.*\\)": "\\(.*\\)",\\?$/\\2  \\1/p' manifest.json) && echo "whole in $OLDPWD"
"""


@pytest.mark.parametrize("where", ["plan", "plan/local", "elsewhere"])
def test_a_plan_that_is_compiled_again_lives_on_where_it_runs(tmp_path: Path, where: str) -> None:
    """Whatever comes in its place, and wherever it was started."""
    plan_folder, stop = tmp_path / "plan", tmp_path / "stop"
    compile_to(plan_folder, small(1, 2, command=["bash", "-c", LIVES], environment={"STOP": str(stop)}))
    (tmp_path / "elsewhere").mkdir()
    command, cwd = [str(plan_folder / "local" / "run.sh")], tmp_path / where
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert [line for line in (process.stderr.readline() for _ in range(2 + (where != "elsewhere"))) if "ready" in line]
    for nodes in (1, 2):
        compile_to(plan_folder, small(nodes, 4, command=["bash", "-c", "exit 3"]))
    stop.touch()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.splitlines() == [f"whole in {tmp_path if where != 'elsewhere' else cwd}"] * 2


def compile_to(folder: Path, made: SmallPlan) -> None:
    write_folder(folder, [*files(made).values(), manifest])


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
