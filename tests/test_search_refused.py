"""What a search refuses, and what it says where no plan is left: one line, and what to write leaves a plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.brute import space
from compiler import ConfigError, InvariantError, compile_plan, search
from compiler.fixes.pasted import changed
from compiler.fixes.text import named
from tests.command import refused
from tests.searched import SERVE, TRAIN

BOTH = ["search.ttft_s=0.001", "search.tpot_s=0.0001"]
NONE = {
    "limit": ([*SERVE, BOTH[1]], "search.tpot_s=0.0001: none of ", "write search.tpot_s="),
    "limits": (
        [*SERVE, *BOTH, "search.requests_per_s=99"],
        "keeps them together; the nearest, ",
        "write search.ttft_s=",
    ),
    "load": ([*SERVE, "search.requests_per_s=100"], "8 GPUs carry at most", "write hardware.nodes="),
    "huge load": ([*SERVE, "search.requests_per_s=1e12"], "carry at most", "write search.requests_per_s="),
    "capped load": ([*SERVE, "search.requests_per_s=9", "search.gpus=1"], "1 GPUs carry at most", "write search.gpus="),
    "fixed": (
        [*TRAIN, "parallel.tp=7"],
        "parallel.tp=7 leaves no plan of 16 GPUs",
        "write parallel.tp=8, or leave parallel.tp out",
    ),
    "instances": (
        [*SERVE, "framework.instances=9"],
        "framework.instances=9 leaves no plan of 8 GPUs",
        "write framework.instances=8, or leave",
    ),
    "rule": (
        [*TRAIN, "parallel.ep=16"],
        "the last are refused by experts",
        "write ep as a divisor of 8, or leave parallel.ep out",
    ),
    "stages": ([*TRAIN, "parallel.stages=[16,15]"], "are refused by layers-to-stages", "write parallel.stages=[16,16]"),
    "memory": ([*TRAIN, "search.vary=[]", "search.gpus=8"], "no plan of 8 GPUs fits in memory", "write search.gpus=16"),
    "nodes": ([*TRAIN, "search.gpus=7"], "a training plan fills its nodes of 8 GPUs", "write search.gpus=8"),
    "step of servers": (
        [*SERVE, "search.objective=step_time"],
        "is a training step's",
        "write search.objective=latency",
    ),
    "objective": ([*SERVE, "search.objective=gpus"], "has no load to carry", "write search.requests_per_s=N"),
    "training": ([*TRAIN, "search.ttft_s=1"], "the plan trains", "leave search.ttft_s out"),
}
TAKEN = {"limits", "load", "capped load", "fixed", "instances", "stages", "memory"}
"""Those whose first fix is taken here."""


@pytest.mark.parametrize("name", NONE)
def test_where_nothing_is_found_one_line_says_why(name: str) -> None:
    """And what it says to write leaves plans."""
    overrides, what, instead = NONE[name]
    with pytest.raises(InvariantError) as error:
        search(overrides)
    assert len(error.value.problems) == 1
    assert what in str(error.value)
    said = str(error.value).partition(" ; ")[2]
    assert said.startswith(instead)
    for fix in named(said)[: name in TAKEN]:
        assert len(search(changed(overrides, fix)).plans)


VARIED: dict[str, Any] = {
    "[workload.zero_stage,workload.zero_stage]": (0, 1, 2, 3),
    "{workload.zero_stage: [3, 0, 3]}": (3, 0),
    "{workload.zero_stage: [4]}": "search.vary: workload.zero_stage=4 is above 3 ; write at most 3",
    "{workload.zero_stage: 3}": "search.vary.workload.zero_stage=3 is no list of values",
    "{workload.zero_stage: [a]}": "Value 'a' of type 'str' could not be converted to Integer",
    "{workload.schedule: [1f1b, foo]}": "search.vary: workload.schedule=foo is not a known value",
    "{parallel.order: [foo]}": "search.vary: parallel.order=foo is no order of the axes",
    "{workload.sequence_lengths: [1024]}": "search.vary: workload.sequence_lengths=1024 is not a list",
    "[workload.tokens]": "has no values to try",
    "[workload.recompte]": "is no key ; did you mean workload.recompute",
    "[framework]": "search.vary names framework, a section of keys",
    "{parallel.tp: [1, 2]}": "search.vary names parallel.tp, which a search chooses anyway",
    "[placement]": "search.vary names placement, which is not for a search to choose",
    "5": "search.vary=5 is neither a list of keys nor a mapping of them",
    "[workload.precision,workload.zero_stage,workload.recompute,workload.schedule,workload.optimizer,workload.cuda_graphs]": "makes 2,268 plans of each",
}  # fmt: skip


@pytest.mark.parametrize("asked", VARIED, ids=lambda asked: str(asked)[:40])
def test_what_is_varied_is_checked_as_overrides_are(asked: str) -> None:
    """Words and switches are named, and their values are those of their fields; others are given, and each counts once."""
    overrides, said = [*TRAIN, "parallel=auto", f"search.vary={asked}"], VARIED[asked]
    if isinstance(said, tuple):
        assert dict(space(overrides).vary) == {"workload.zero_stage": said}
        return
    with pytest.raises(ConfigError, match=re.escape(said)):
        search(overrides)


def test_what_limits_a_search_is_refused_without_one() -> None:
    """A search has degrees of its own to find: none are proposed beside it."""
    with pytest.raises(ConfigError) as error:
        compile_plan([*TRAIN, "parallel=dp16", "search.gpus=8"])
    assert str(error.value.problems[1]) == (
        "search.gpus=8 limits no search: the degrees are written ; write parallel=auto"
    )
    with pytest.raises(ConfigError, match=r"search\.name=a/b cannot name a folder"):
        search([*SERVE, "search.name=a/b"])


def test_a_search_without_a_plan_leaves_nothing_behind(tmp_path: Path) -> None:
    refused(tmp_path, *TRAIN, "parallel=auto", "parallel.tp=7", code=3)
