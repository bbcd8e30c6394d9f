"""A private Slurm of pretend nodes on this machine, for tests that submit real jobs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1].parent / "shared" / "slurm"


@dataclass(frozen=True)
class Cluster:
    """Nodes node001 .. node006, 4 GPUs each; the last two are meant as spares."""

    conf: str

    def run(self, *command: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "SLURM_CONF": self.conf, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def submit(self, script: Path, cwd: Path, *options: str) -> str:
        cwd.mkdir(parents=True, exist_ok=True)
        return self.run("sbatch", "--parsable", *options, str(script), cwd=cwd)

    def field(self, job: str, name: str) -> str:
        found = re.search(rf"\b{name}=(\S*)", self.run("scontrol", "show", "job", job))
        assert found
        return found[1]

    def wait(self, job: str, *states: str) -> str:
        """The job's state, once it is one of `states` (default: any in which it has ended)."""
        ended = states or ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        for _ in range(300):
            if (state := self.field(job, "JobState")) in ended:
                return state
            time.sleep(0.2)
        raise AssertionError(f"job {job} is {state}")

    def exit_code(self, job: str) -> int:
        self.wait(job)
        return int(self.field(job, "ExitCode").split(":")[0])


def start() -> Iterator[Cluster]:
    """A running cluster; skips where Slurm or the tools that start one are missing."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [tool for tool in ("slurmctld", "slurmd", "sbatch") if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    if not (TOOLS / "start-slurm").exists() or os.geteuid() != 0:
        pytest.skip("no tools to start a private Slurm, or not root")
    folder = tempfile.mkdtemp(prefix="rp-slurm-", dir="/tmp")
    command = [str(TOOLS / "start-slurm"), folder, "--nodes", "4", "--spare", "2", "--gpus", "4"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
        yield Cluster(done.stdout.strip().removeprefix("export SLURM_CONF="))
    finally:
        subprocess.run([str(TOOLS / "stop-slurm"), folder], capture_output=True, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)
