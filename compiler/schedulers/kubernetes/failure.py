"""What becomes of a gang when one of its pods fails: never the rest without it, and never the same mistake again."""

from __future__ import annotations

from compiler.schedulers.kubernetes.objects import Node

NEVER_RETRIED = [64, 65, 66]
"""The self-check's exit codes: the same plan on the same nodes fails again."""


def of_pods() -> Node:
    """Rules of a Job, in order; any other failure counts, and none is allowed (backoffLimit 0).

    Exit codes are those of any container: the preflight has them too. An eviction ends the Job as well: a pod that is
    replaced alone finds nobody, as the ranks of the others wait in a collective for the one that is gone.
    """
    codes = {"operator": "In", "values": NEVER_RETRIED}
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": codes},
            {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def of_jobset(max_restarts: int) -> Node:
    """The whole set is started again, a disruption without counting; the old gang is gone before the new one starts.

    Both rules below have the reason PodFailurePolicy; the first is told apart by the message, and where that should
    ever read otherwise, the second stops the set.
    """
    reason = ["PodFailurePolicy"]
    return {
        "maxRestarts": max_restarts,
        "restartStrategy": "BlockingRecreate",
        "rules": [
            {
                "name": "disruption",
                "action": "RestartJobSetAndIgnoreMaxRestarts",
                "onJobFailureReasons": reason,
                "onJobFailureMessagePatterns": ["DisruptionTarget"],
            },
            {"name": "self_check", "action": "FailJobSet", "onJobFailureReasons": reason},
            {"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
        ],
    }
