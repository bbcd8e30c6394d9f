"""The runtime's programs under every Python that this machine has, from 3.6 on."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from compiler.schedulers.runtime_files import PROGRAMS
from tests.plans import plan, write
from tests.probes import RANK_5
from tests.processes import none_left

VERSIONS = [f"3.{minor}" for minor in range(6, 15)]


@cache
def interpreter(version: str) -> str | None:
    """One that runs: a version manager's stand-in may not. The manager's own folders come first."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = [str(path) for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for path in (*installed, shutil.which(f"python{version}")):
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    return None


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    found = interpreter(request.param)
    if found is None:
        pytest.skip(f"there is no Python {request.param}")
    return found


def run(python: str, folder: Path, name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-I", "-S", str(folder / "runtime" / f"{name}.py"), *words]
    known = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node2", "RANKPLAN_PLAN": str(folder), **environment}
    return subprocess.run(command, env=known, input="a\nb\n", capture_output=True, text=True, check=False, timeout=60)


def test_every_program_does_its_work(python: str, tmp_path: Path) -> None:
    folder = write(plan(2, 4), tmp_path)
    job = str(tmp_path)
    for name in PROGRAMS:
        subprocess.run([python, "-I", "-S", "-c", f"compile(open({str(folder / 'runtime' / name) + '.py'!r}).read(), 'x', 'exec')"], check=True)  # fmt: skip
    assert run(python, folder, "probe", **RANK_5).stdout.endswith(": as planned\n")
    assert run(python, folder, "bind", job).returncode == 0
    assert run(python, folder, "preflight", job).returncode == 0
    assert run(python, folder, "attempt", job, "begin", "0").stdout == "run\n"
    assert run(python, folder, "attempt", job, "end", "0", "none", "99", "7").stdout == "7\n"
    assert "LWS_WORKER_INDEX" in run(python, folder, "ready", "--node=LWS_WORKER_INDEX").stderr
    assert "RANKPLAN_MAX_RESTARTS" in run(python, folder, "mpi", "mpirun").stderr
    assert "plan.json" in run(python, folder, "rank_map", "3").stderr
    assert run(python, folder, "probe", **{**RANK_5, "RANK": "²"}).returncode == 64


def test_a_failure_ends_ranks_and_their_children(python: str, tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & setsid sleep 600 & [ $RANK = 0 ] || exit 7; wait"
    folder = write(plan(1, 2, command=["bash", "-c", script]), tmp_path)
    done = run(python, folder, "spawn", "--all", RANKPLAN_GRACE_S="1")
    assert (done.returncode, "Traceback" in done.stderr) == (7, False), done.stderr
    assert "rank 1 ended with exit code 7; ending the other 1" in done.stderr
    none_left(f"RANKPLAN_PLAN={tmp_path}", 0.25)
