"""What a job lives through on a real Slurm: bad nodes, lost nodes, the time limit. All jobs run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.specs.launch import Preflight
from compiler.specs.site import Site, SlurmSite
from tests import slurm_cluster
from tests.plans import SmallPlan
from tests.slurm_cluster import Cluster, Started, quick, submit

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm-life")]

NODES = [f"node{i:03d}" for i in range(1, 19)]
DOWN = NODES[0]
PLACE = 'echo "$RANK $LOCAL_RANK $SLURMD_NODENAME"'
ONCE_PER_JOB = "mkdir bad-$SLURM_JOB_ID 2>/dev/null && echo broken && exit 3; exit 0"
"""A health check that fails on the first node that asks."""
UNTIL_SIGNAL = f"trap 'echo saved; exit 0' USR1; {PLACE}; while true; do sleep 0.1; done"


def bash(text: str, **given: Any) -> SmallPlan:
    return quick(2, 2, command=["bash", "-c", text], **given)


def unhealthy(spares: int, **given: Any) -> SmallPlan:
    site = Site(name="test", slurm=SlurmSite(health_command=["bash", "-c", ONCE_PER_JOB]))
    return bash(PLACE, site=site, spare_nodes=spares, **given)


def pinned_to(*names: str) -> dict[str, Any]:
    table = "host,leaf,pod,rack\n" + "".join(f"{name},leaf,pod,rack\n" for name in names)
    return {"hosts": table, "pin": True}


def places(job: Started, attempt: int = 0) -> None:
    """Every rank ran in its row: on its slot's host of this attempt, with its local rank."""
    hosts = job.attempts[attempt].get("hosts") or job.lines("hosts")
    found = [text.splitlines()[0] for text in job.logs(attempt)]
    assert found == [f"{rank} {rank % 2} {hosts[rank // 2]}" for rank in range(4)]


def running(job: Started, attempt: int = 0) -> None:
    """Wait until every rank of an attempt has written something."""
    slurm_cluster.until(lambda: len(job.logs(attempt)) == 4 and all(job.logs(attempt)), "ranks", 120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    for started in slurm_cluster.start(len(NODES), 2):
        started.down(DOWN)
        yield started


@pytest.fixture(scope="module")
def jobs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Started]:
    """All jobs, submitted at once."""
    resumed = f"((RANKPLAN_ATTEMPT == 0)) || {{ {PLACE}; exit 0; }}; {UNTIL_SIGNAL}"
    deaf = f"trap '' USR1; {PLACE}; sleep 300"
    limited = {"time_limit": "01:00:00", "checkpoint_signal_s": 30}
    plans = {
        "time limit": bash(resumed, **limited, **pinned_to(*NODES[-2:])),
        "deaf": bash(deaf, **limited, max_restarts=0),
        "down": bash(PLACE),
        "pinned to a node that is down": bash(PLACE, **pinned_to(DOWN, NODES[1])),
        "cap": bash(UNTIL_SIGNAL, max_restarts=1),
        "lost": bash(f"{PLACE}; ((RANKPLAN_ATTEMPT)) || sleep 300", max_restarts=1),
        "spare": unhealthy(1),
        "no spare": unhealthy(0),
    }
    started = {name: submit(cluster, made, tmp_path_factory.mktemp("job")) for name, made in plans.items()}
    for name in ("time limit", "deaf"):
        running(started[name])
        cluster.ends_in(started[name].job, 75)
    return started


def test_a_node_that_is_down_before_the_start_is_not_used(jobs: dict[str, Started]) -> None:
    job = jobs["down"]
    assert job.code == 0, job.output
    assert DOWN not in job.lines("hosts")
    places(job)


def test_a_pinned_plan_waits_for_its_nodes_and_slurm_says_why(jobs: dict[str, Started]) -> None:
    job = jobs["pinned to a node that is down"]
    assert job.cluster.field(job.job, "JobState") == "PENDING"
    assert job.cluster.field(job.job, "Reason").startswith("ReqNodeNotAvail")
    job.cluster.run("scancel", job.job)


def test_a_node_that_fails_the_preflight_gives_way_to_a_spare(jobs: dict[str, Started]) -> None:
    job = jobs["spare"]
    assert job.code == 0, job.output
    (line,) = job.lines("exclude")
    bad, reason = line.split(" ", 1)
    assert reason == "has bash: expected exit code 0, found 3 broken"
    assert f"rankplan: preflight: {line}" in job.output
    assert bad not in job.lines("hosts")
    assert job.lines("spares") == []
    assert job.attempts[0]["exclude"] == [line]
    places(job)


def test_without_a_spare_the_job_names_the_bad_node(jobs: dict[str, Started]) -> None:
    job = jobs["no spare"]
    assert job.code == 66, job.output
    bad = job.lines("exclude")[0].split()[0]
    expected = f"the plan needs 2 hosts, the allocation has 2, and 1 cannot be used: {bad} has bash: expected"
    assert expected in job.output
    assert not job.logs()


def test_a_lost_node_is_survived_by_a_requeue(jobs: dict[str, Started]) -> None:
    job = jobs["lost"]
    running(job)
    places(job)
    lost = job.lines("hosts")[1]
    job.cluster.down(lost)
    job.cluster.resume(job.job, 1)
    assert job.code == 0, job.output
    assert lost not in job.lines("hosts")
    first, second = (row["outcome"] for row in job.attempts)
    assert first.startswith("ended by Slurm: a node failure")
    assert second == "finished"
    places(job, 1)


def test_the_cap_stops_restarts(jobs: dict[str, Started]) -> None:
    job = jobs["cap"]
    for attempt in (0, 1):
        running(job, attempt)
        job.cluster.run("scancel", "--batch", "--signal", "USR1", job.job)
        if attempt == 0:
            job.cluster.resume(job.job, 1)
    assert job.code == 1, job.output
    assert [row["outcome"] for row in job.attempts] == ["requeued", "stopped: launch.max_restarts is 1"]
    assert "attempt 1 stopped: launch.max_restarts is 1; see" in job.output
    for attempt in (0, 1):
        places(job, attempt)
        assert [text.splitlines()[-1] for text in job.logs(attempt)] == ["saved"] * 4


def test_the_time_limit_reaches_ranks_and_the_job_goes_on_with_the_same_map(jobs: dict[str, Started]) -> None:
    job = jobs["time limit"]
    job.cluster.resume(job.job, 1)
    assert job.code == 0, job.output
    assert [text.splitlines()[-1] for text in job.logs()] == ["saved"] * 4
    assert [(row["signal"], row["outcome"]) for row in job.attempts] == [("USR1", "requeued"), ("none", "finished")]
    assert job.attempts[0]["hosts"] == job.attempts[1]["hosts"] == NODES[-2:]
    for attempt in (0, 1):
        places(job, attempt)


def test_ranks_that_do_not_listen_are_ended_before_the_time_limit(jobs: dict[str, Started]) -> None:
    """So that the job can say what happened, and requeue where it may."""
    job = jobs["deaf"]
    assert job.cluster.wait(job.job) == "FAILED", job.output
    assert job.code == 143
    assert job.attempts[0]["outcome"] == "stopped: launch.max_restarts is 0"
    places(job)


def test_a_wide_open_preflight_is_quick_to_turn_off(cluster: Cluster, tmp_path: Path) -> None:
    job = submit(cluster, unhealthy(0, preflight=Preflight(enabled=False)), tmp_path)
    assert job.code == 0, job.output
    places(job)
