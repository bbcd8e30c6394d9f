"""Each controller is told when to start the pods, when to start all of them again, and when to stop."""

from __future__ import annotations

import pytest

from tests.kubelet import of_kind
from tests.kubernetes_plans import kubernetes


def test_an_indexed_job_is_a_gang_that_is_not_retried() -> None:
    (started,) = of_kind(kubernetes("kubernetes_job", 4, 8), "Job")
    spec = started["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 86400)
    fail, evicted = spec["podFailurePolicy"]["rules"]
    assert fail["onExitCodes"] == {"operator": "In", "values": [64, 65, 66]}
    assert (evicted["action"], evicted["onPodConditions"][0]["type"]) == ("FailJob", "DisruptionTarget")


@pytest.mark.parametrize("target", ["jobset", "trainjob"])
def test_a_set_is_started_again_as_a_whole(target: str) -> None:
    plan = kubernetes(target, 4, 8, max_restarts=5)
    kind = {"jobset": "JobSet", "trainjob": "TrainingRuntime"}[target]
    spec = of_kind(plan, kind)[0]["spec"]
    spec = spec if target == "jobset" else spec["template"]["spec"]
    policy = spec["failurePolicy"]
    assert (policy["maxRestarts"], policy["restartStrategy"]) == (5, "BlockingRecreate")
    assert [rule["action"] for rule in policy["rules"]] == [
        "RestartJobSetAndIgnoreMaxRestarts",
        "FailJobSet",
        "FailJobSet",
    ]
    child = spec["replicatedJobs"][0]["template"]["spec"]
    assert child["backoffLimit"] == 0
    assert [rule["action"] for rule in child["podFailurePolicy"]["rules"]] == ["FailJob", "FailJob"]


def test_a_volcano_job_is_a_gang() -> None:
    (started,) = of_kind(kubernetes("volcano", 4, 8, max_restarts=5), "Job")
    spec = started["spec"]
    assert (spec["minAvailable"], spec["tasks"][0]["minAvailable"], spec["maxRetry"]) == (4, 4, 6)
    codes = [(policy["exitCode"], policy["action"]) for policy in spec["policies"] if "exitCode" in policy]
    assert codes == [(64, "AbortJob"), (65, "AbortJob"), (66, "AbortJob")]
    events = {policy["event"]: policy["action"] for policy in spec["policies"][3:]}
    assert events == {"PodFailed": "RestartJob", "PodEvicted": "RestartJob", "TaskCompleted": "CompleteJob"}


def test_a_group_is_recreated_as_a_whole() -> None:
    (lws,) = of_kind(kubernetes("lws", 4, 2, instances=2), "LeaderWorkerSet")
    template = lws["spec"]["leaderWorkerTemplate"]
    assert (lws["spec"]["replicas"], template["size"]) == (2, 2)
    assert template["restartPolicy"] == "RecreateGroupOnPodRestart"


def test_a_train_jobs_ranks_are_started_by_nobody_else() -> None:
    """Without a policy for torch or MPI the trainer injects nothing and starts no torchrun."""
    (runtime,) = of_kind(kubernetes("trainjob", 4, 8), "TrainingRuntime")
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 4}
    (started,) = of_kind(kubernetes("trainjob", 4, 8, options={"gang": "volcano"}), "TrainJob")
    assert started["spec"]["activeDeadlineSeconds"] == 86400
