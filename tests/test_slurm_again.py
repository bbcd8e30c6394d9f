"""A plan that is compiled again while its job runs: the job goes on, where no compile comes, by the plan that it began with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.render.atomic import write_folder
from compiler.render.folder import manifest
from tests import slurm_cluster
from tests.command import tree, whole
from tests.fake_slurm import batch
from tests.plans import SmallPlan, SmallPools, files, pools
from tests.slurm_cluster import Cluster, Started, quick, until

INSIDE = ("plan", "plan/slurm", "plan/mine")
"""Where people submit from: the plan folder itself, and below."""


def compile_to(folder: Path, made: SmallPlan | SmallPools) -> Path:
    """Write the plan's files as a compile does, and return the batch script."""
    write_folder(folder, [*(replace(item, path=path) for path, item in files(made).items()), manifest])
    return folder / "slurm" / "job.sbatch"


def plan(text: str = "pwd", nodes: int = 1, **given: object) -> SmallPlan:
    return quick(nodes, 2, command=["bash", "-c", text], **given)


def run(script: Path, folder: Path, hosts: int = 1, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    names = [f"n{i}" for i in range(hosts)]
    return batch(script, folder, names, names, restarts=restarts)


class TestScript:
    @pytest.mark.parametrize("where", INSIDE)
    def test_a_job_that_was_submitted_in_a_plan_folder_runs_beside_it(self, tmp_path: Path, where: str) -> None:
        script = compile_to(tmp_path / "plan", plan())
        done = run(script, tmp_path / where)
        assert done.returncode == 0, done.stderr
        beside = tmp_path / "rankplan-7"
        assert (beside / "summary.json").exists()
        assert not (tmp_path / where / "rankplan-7").exists()
        assert {path.read_text() for path in beside.glob("logs/attempt-0/instance-0/*.log")} == {f"{tmp_path}\n"}
        assert (
            f"{tmp_path / where} is in a plan folder, which a compile replaces: running in {tmp_path}/" in done.stderr
        )

    def test_of_plan_folders_in_each_other_the_outermost_counts(self, tmp_path: Path) -> None:
        compile_to(tmp_path / "outer", plan())
        script = compile_to(tmp_path / "outer" / "inner", plan())
        assert run(script, tmp_path / "outer" / "inner").returncode == 0
        assert (tmp_path / "rankplan-7" / "summary.json").exists()

    def test_a_job_runs_where_it_was_submitted_else(self, tmp_path: Path) -> None:
        """Beside other people's manifests too."""
        script = compile_to(tmp_path / "out" / "plan", plan())
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "manifest.json").write_text('{"name": "a web app"}')
        done = run(script, tmp_path / "app")
        assert done.returncode == 0, done.stderr
        assert "in a plan folder" not in done.stderr
        assert (tmp_path / "app" / "rankplan-7" / "summary.json").exists()

    def test_ranks_are_given_a_copy_of_the_plan_alone(self, tmp_path: Path) -> None:
        script = compile_to(tmp_path / "plan", plan('echo "$RANKPLAN_PLAN"'))
        (tmp_path / "plan" / "large.bin").write_bytes(bytes(1000))
        assert run(script, tmp_path / "sub").returncode == 0
        copied = tmp_path / "sub" / "rankplan-7" / "plan-7"
        assert whole(copied)
        logs = (tmp_path / "sub" / "rankplan-7" / "logs" / "attempt-0" / "instance-0").glob("*.log")
        assert {path.read_text() for path in logs} == {f"{copied}\n"}
        original = tree(tmp_path / "plan")
        original.pop("large.bin")
        assert tree(copied) == original
        assert (copied / "slurm" / "job.sbatch").stat().st_mode & 0o111

    def test_a_restart_goes_on_with_the_plan_that_it_began_with(self, tmp_path: Path) -> None:
        script = compile_to(tmp_path / "plan", plan("echo first", max_restarts=1))
        kept = tmp_path / "kept.sbatch"  # Slurm has the script that was submitted
        kept.write_text(script.read_text())
        assert run(script, tmp_path / "sub").returncode == 0
        compile_to(tmp_path / "plan", plan("echo second; exit 9", nodes=2))
        for what in ("another plan in its place", "nothing in its place"):
            if what.startswith("nothing"):
                (tmp_path / "plan").rename(tmp_path / "away")
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(kept.read_text())
            done = run(script, tmp_path / "sub", restarts=1)
            assert done.returncode == 0, done.stderr
            logs = (tmp_path / "sub" / "rankplan-7" / "logs" / "attempt-1" / "instance-0").glob("*.log")
            assert {line for path in logs for line in path.read_text().split()} == {"first"}

    def test_another_plan_than_was_submitted_is_not_started(self, tmp_path: Path) -> None:
        script = compile_to(tmp_path / "plan", plan("echo first"))
        submitted = script.read_text()
        compile_to(tmp_path / "plan", plan("echo second"))
        script.write_text(submitted)
        done = run(script, tmp_path / "sub")
        assert done.returncode == 64
        assert "files of the plan differ from those that were compiled; compile it again" in done.stderr

    def test_a_plan_that_lacks_a_file_says_so(self, tmp_path: Path) -> None:
        script = compile_to(tmp_path / "plan", plan())
        (tmp_path / "plan" / "runtime" / "spawn.py").unlink()
        done = run(script, tmp_path / "sub")
        assert done.returncode == 64
        assert "runtime/spawn.py" in done.stderr
        assert f"the files of {tmp_path}/plan cannot be copied to " in done.stderr
        assert not (tmp_path / "sub" / "rankplan-7" / "plan-7").exists()

    def test_both_pools_are_copied(self, tmp_path: Path) -> None:
        made = pools((1, 1), (1, 1), 2, python=sys.executable, command=["bash", "-c", 'echo "$RANKPLAN_PLAN"'])
        script = compile_to(tmp_path / "plan", made)
        parts = (["n0"], ["n1"])
        done = batch(script, tmp_path / "plan" / "slurm", parts[0], ["n0", "n1"], components=parts)
        assert done.returncode == 0, done.stderr
        beside = tmp_path / "rankplan-7"
        assert whole(beside / "plan-7")
        for role in ("prefill", "decode"):
            logs = (beside / role / "logs" / "attempt-0" / "instance-0").glob("*.log")
            assert {path.read_text() for path in logs} == {f"{beside}/plan-7/{role}\n"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from slurm_cluster.start(3, 2)


WAITS = """
cd "$RANKPLAN_PLAN" && echo ready
while [[ ! -e $STOP ]]; do sleep 0.2; done
sha256sum --check --quiet <(sed -n 's/^  "\\(.*\\)": "\\(.*\\)",\\?$/\\2  \\1/p' manifest.json) || exit 5
cd "$OLDPWD" && echo "in $PWD" >>here && ((RANKPLAN_ATTEMPT)) || exit 1
echo finished
"""


@pytest.mark.slow
@pytest.mark.xdist_group("slurm-again")
@pytest.mark.parametrize("where", ["plan/slurm", "elsewhere"])
def test_a_running_job_survives_every_compile(cluster: Cluster, tmp_path: Path, where: str) -> None:
    """To the same plan, to another of the same name, and to the first again; a restart goes on with what it began with."""
    stop, folder = tmp_path / "stop", tmp_path / "plan"
    own = quick(1, 2, command=["bash", "-c", WAITS], environment={"STOP": str(stop)}, max_restarts=1, restart_codes=[1])
    script = compile_to(folder, own)
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    number = cluster.submit(script, tmp_path / where)
    job = Started(cluster, number, own, tmp_path / where)
    run_folder = (tmp_path if where in INSIDE else tmp_path / where) / f"rankplan-{number}"

    def ready(attempt: int) -> bool:
        logs = list((run_folder / "logs" / f"attempt-{attempt}" / "instance-0").glob("*.log"))
        return [path.read_text() for path in logs] == ["ready\n"] * 2

    until(lambda: ready(0), "ranks", 90)
    before = tree(run_folder)
    for made in (own, quick(2, 2, command=["bash", "-c", "exit 9"]), own, quick(1, 2, scheduler=("local",))):
        compile_to(folder, made)
    assert tree(run_folder) == before
    stop.touch()
    job.cluster.resume(number, 1)
    assert job.code == 0, job.output
    summary = json.loads((run_folder / "summary.json").read_text())
    assert [row["outcome"] for row in summary["attempts"]] == ["requeued", "finished"]
    logs = (run_folder / "logs" / "attempt-1" / "instance-0").glob("*.log")
    assert {path.read_text() for path in logs} == {"ready\nfinished\n"}
    assert set((run_folder.parent / "here").read_text().splitlines()) == {f"in {run_folder.parent}"}
    assert (tmp_path / where / f"rankplan-{number}.out").exists()
