"""A private Slurm of pretend nodes on this machine, for tests that submit real jobs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.plans import SmallPlan, SmallPools, plan, write

TOOLS = Path(__file__).parents[1].parent / "shared" / "slurm"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


@dataclass(frozen=True)
class Cluster:
    """Nodes node001 and so on."""

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

    def wait(self, job: str, *states: str, seconds: float = 180) -> str:
        """The job's state, once it is one of `states` (default: any in which it has ended)."""
        until(lambda: self.field(job, "JobState") in (states or ENDED), f"job {job} to end", seconds)
        return self.field(job, "JobState")

    def exit_code(self, job: str, seconds: float = 180) -> int:
        self.wait(job, seconds=seconds)
        return int(self.field(job, "ExitCode").split(":")[0])

    def resume(self, job: str, restarts: int) -> None:
        """Start a requeued job now; Slurm holds it for two minutes."""
        until(lambda: self.field(job, "Restarts") == str(restarts), f"job {job} to requeue", 180)
        until(lambda: self.field(job, "Reason") == "BeginTime", f"job {job} to be held", 60)
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def ends_in(self, job: str, seconds: int) -> None:
        """Move the time limit of a running job, so that its signals cannot come before its ranks are there."""
        self.run("scontrol", "update", f"JobId={job}", f"EndTime=now+{seconds}")

    def down(self, node: str) -> None:
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


def until(ready: Callable[[], bool], what: str, seconds: float) -> None:
    """Look four times a second."""
    for _ in range(int(seconds * 4)):
        if ready():
            return
        time.sleep(0.25)
    raise AssertionError(f"waited {seconds} s for {what}")


@dataclass(frozen=True)
class Started:
    """A submitted plan: its job, and the folder that sbatch was called in."""

    cluster: Cluster
    job: str
    plan: SmallPlan | SmallPools
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / f"rankplan-{self.job}"

    @property
    def output(self) -> str:
        path = self.folder / f"rankplan-{self.job}.out"
        return path.read_text() if path.exists() else ""

    @property
    def code(self) -> int:
        return self.cluster.exit_code(self.job)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return list(json.loads((self.run / "summary.json").read_text())["attempts"])

    def lines(self, name: str) -> list[str]:
        return (self.run / name).read_text().splitlines()

    def logs(self, attempt: int = 0, instance: int = 0, pool: str = "") -> list[str]:
        """What each rank wrote, in the order of ranks."""
        folder = self.run / pool / "logs" / f"attempt-{attempt}" / f"instance-{instance}"
        paths = sorted(folder.glob("*.log"), key=lambda path: int(re.findall(r"\d+", path.name)[-1]))
        return [path.read_text() for path in paths]

    def await_logs(self, text: str, attempt: int = 0) -> None:
        """Wait until every rank has written `text`."""
        for pool, made in self.plan.parts.items():
            ready = [text] * made.world.size
            for instance in range(made.world.instances):
                until(
                    lambda: self.logs(attempt, instance, pool) == ready,  # noqa: B023 - called before the next turn
                    f"{len(ready)} ranks of {pool} {instance} in job {self.job} to say {text!r}",
                    90,
                )


def submit(
    cluster: Cluster, made: SmallPlan | SmallPools, folder: Path, *edits: tuple[str, str], **environment: str
) -> Started:
    """Write a plan, change its script by `edits`, and submit it from another folder."""
    script = write(made, folder / "plan") / "slurm" / "job.sbatch"
    for old, new in edits:
        assert old in script.read_text()
        script.write_text(script.read_text().replace(old, new))
    export = [f"--export={','.join(f'{name}={value}' for name, value in environment.items())}"] if environment else []
    return Started(cluster, cluster.submit(script, folder / "submit", *export), made, folder / "submit")


def quick(nodes: int, gpus: int, **given: Any) -> SmallPlan:
    """A plan whose programs start fast: a version manager's `python3` takes longer than Python itself."""
    return plan(nodes, gpus, **{"python": sys.executable, **given})


def start(nodes: int, gpus: int, leaves: int = 0) -> Iterator[Cluster]:
    """A running cluster; skips where Slurm or the tools that start one are missing.

    With `leaves` node i hangs on leaf i % leaves, so that Slurm's own order, by number, changes leaf at every node.
    """
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [tool for tool in ("slurmctld", "slurmd", "sbatch") if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    if not (TOOLS / "start-slurm").exists() or os.geteuid() != 0:
        pytest.skip("no tools to start a private Slurm, or not root")
    folder = Path(tempfile.mkdtemp(prefix="rp-slurm-", dir="/tmp"))
    command = [str(TOOLS / "start-slurm"), str(folder), "--nodes", str(nodes), "--gpus", str(gpus)]
    command += ["--leaf", str(nodes)] * (leaves > 0)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr
        cluster = Cluster(done.stdout.strip().removeprefix("export SLURM_CONF="))
        if leaves:
            names = [f"node{i:03d}" for i in range(1, nodes + 1)]
            rows = [f"SwitchName=leaf{i} Nodes={','.join(names[i::leaves])}\n" for i in range(leaves)]
            rows += [f"SwitchName=core Switches=leaf[0-{leaves - 1}]\n"]
            (folder / "topology.conf").write_text("".join(rows))
            cluster.run("scontrol", "reconfigure")
        yield cluster
    finally:
        subprocess.run([str(TOOLS / "stop-slurm"), str(folder)], capture_output=True, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)
