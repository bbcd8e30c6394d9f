"""What is left of a job on a real Slurm when it has ended, by itself or by force: no process, and a summary that says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import slurm_cluster
from tests.processes import alive, none_left
from tests.slurm_cluster import Cluster, Started, quick, submit, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-processes")]

GRACE_S = 3
DEAF = "while true; do sleep 1; done"
"""To be run after `trap '' TERM`, which children inherit."""
CHILDREN = f"sleep 600 & setsid sleep 600 & (trap '' TERM; {DEAF}) & (setsid bash -c \"trap '' TERM; {DEAF}\" &) ;"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from slurm_cluster.start(6, 2)


def bash(cluster: Cluster, text: str, folder: pytest.TempPathFactory) -> Started:
    """Four ranks on two nodes; they run when this returns."""
    made = quick(2, 2, command=["bash", "-c", f"echo ready; {text}"], max_restarts=0, checkpoint_signal_s=0)
    job = submit(cluster, made, folder.mktemp("job"), RANKPLAN_GRACE_S=str(GRACE_S))
    until(lambda: len(job.logs()) == 4 and all(job.logs()), "ranks", 120)
    return job


def test_children_of_a_failing_rank_end_with_it(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    job = bash(cluster, f"{CHILDREN} sleep 2; ((RANK != 3)) || exit 7; sleep 600", tmp_path_factory)
    assert job.code == 7, job.output
    none_left(str(job.folder), GRACE_S)
    assert [(row["code"], row["outcome"]) for row in job.attempts] == [(7, "failed")]
    assert job.attempts[0]["failures"][0]["who"].startswith("rank 3 on ")


def test_ranks_that_ignore_term_are_killed_when_one_fails(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job = bash(cluster, f"trap '' TERM; sleep 2; ((RANK != 3)) || exit 7; {DEAF}", tmp_path_factory)
    assert job.code == 7, job.output
    none_left(str(job.folder), GRACE_S)
    assert job.attempts[0]["outcome"] == "failed"


@pytest.mark.parametrize("ranks", ["sleep 600", f"trap '' TERM; {CHILDREN} {DEAF}"])
def test_a_cancelled_job_says_so_and_leaves_nothing(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, ranks: str
) -> None:
    job = bash(cluster, ranks, tmp_path_factory)
    assert len(alive(str(job.folder))) >= 4
    cluster.run("scancel", job.job)
    assert cluster.wait(job.job) == "CANCELLED"
    none_left(str(job.folder), 30)  # KillWait, and what Slurm takes to look
    assert [row["outcome"] for row in job.attempts] == ["cancelled"], job.output
    assert "ended by Slurm" not in (job.run / "summary.json").read_text()


def test_ranks_that_ignore_a_stop_are_killed_after_their_grace(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job = bash(cluster, f"trap '' TERM; {DEAF}", tmp_path_factory)
    cluster.run("scancel", "--batch", "--signal", "TERM", job.job)
    assert cluster.wait(job.job, seconds=60) == "FAILED"
    assert job.code == 137, job.output
    none_left(str(job.folder), GRACE_S)
