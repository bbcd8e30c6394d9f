"""Where pools and frameworks have no plan: one line says why, and what has none beside others is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compiler import ConfigError, InvariantError, search
from compiler.config.load import load_config
from compiler.searches import apart
from compiler.searches.compare import all_of
from tests.command import call
from tests.test_search_apart import APART, NODE, SERVE, quiet


def test_what_has_no_plan_beside_others_is_said(tmp_path: Path) -> None:
    """In the summary, in the report and on the console."""
    given = [*SERVE, "parallel=auto", "hardware.nodes=1", "hardware.node.gpus=1", "framework=vllm"]
    ran = call(*given, "search.pools=either", "search.name=one", cwd=tmp_path)
    assert ran.code == 0
    folder = tmp_path / "out/searches/one"
    (left_out,) = json.loads((folder / "summary.json").read_text())["left_out"]
    assert left_out["space"] == "framework=vllm search.pools=apart"
    assert "there are 1 ; write hardware.nodes=2" in left_out["says"]
    for text in (ran.out, (folder / "report.md").read_text()):
        assert f"{left_out['space']}: {left_out['says']}" in text


def test_pairs_without_room_are_not_among_those_that_miss_a_limit() -> None:
    given = [*APART, "parallel=auto"]
    every = len(all_of(load_config(given), given, load_config, quiet)[1].plans)
    with pytest.raises(InvariantError, match=f"none of {every:,} plans that fit keeps it"):
        search([*given, "search.tpot_s=0.0001"])


def test_the_smallest_servers_are_those_that_rules_let_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def wide(fill: Any, step: Any) -> Any:
        """A rule that wants two GPUs to prefill."""
        sizes = [found.plans.column("world_size") for _, found in (fill, step)]
        return (sizes[0] > 1)[:, None] & (sizes[1] > 0), {"pools-wide": 1}

    monkeypatch.setattr(apart, "matched", wide)
    with pytest.raises(InvariantError) as error:
        search([*APART, "hardware.nodes=1"])
    assert "take 2 GPUs to prefill and 1 to decode, and there are 2 ; write hardware.nodes=2" in str(error.value)


@pytest.mark.parametrize("vary", ["5", "{workload.global_batch_size:[0]}"])
def test_a_bad_value_goes_before_what_a_search_has_no_use_for(vary: str) -> None:
    with pytest.raises(ConfigError, match=r"search\.vary"):
        search([*APART, "search.objective=gpus", f"search.vary={vary}"])


DEGREES = ["workload.pools.prefill.parallel=tp2", "workload.pools.decode.parallel=tp2"]
NONE = {
    "training": (["workload=train"], "the plan trains", "leave search.pools out"),
    "instances": (["framework.instances=2"], "is of neither pool", "leave framework.instances out"),
    "spares": (["launch.spare_nodes=1"], "is of neither pool", "write launch.spare_nodes=0"),
    "degrees": (DEGREES, "the degrees of pools are written", "leave workload.pools out"),
    "vary": (["search.vary=[workload.precision]"], "names workload.precision", "leave workload.precision out"),
    "limit": (["search.tpot_s=0.0001"], "the nearest, prefill_", "write search.tpot_s="),
    "limits": (
        ["search.tpot_s=0.0001", "search.ttft_s=0.01", "search.requests_per_s=900"],
        "keeps them together; the nearest, prefill_",
        "write search.ttft_s=",
    ),
    "load": (["search.requests_per_s=100"], "4 GPUs carry at most", "write hardware.nodes="),
    "huge load": (["search.requests_per_s=1e12"], "carry at most", "write search.requests_per_s="),
    "one GPU": (["hardware.nodes=1", "search.gpus=1"], "there are 1", "write hardware.nodes=2 search.gpus=4"),
    "memory": (["model=llama3_1_405b"], "prefill: no plan of 4 GPUs fits", "write hardware.nodes=16"),
    "degree": (
        ["parallel.tp=3"],
        "prefill: parallel.tp=3 parallel.cp=1 parallel.pp=1 leaves no plan",
        "leave parallel.tp out",
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_where_no_pair_is_found_one_line_says_why(name: str) -> None:
    more, what, instead = NONE[name]
    with pytest.raises(InvariantError) as error:
        search([*APART, "search.pools=apart", *more])
    assert what in str(error.value)
    assert instead in str(error.value)
    assert len(error.value.problems) == 1


def test_of_several_frameworks_that_find_nothing_each_says_why() -> None:
    with pytest.raises(InvariantError) as error:
        search([*SERVE, *NODE, "framework=[vllm,sglang]", "search.tpot_s=0.0001"])
    assert [str(problem).partition(" ")[0] for problem in error.value.problems] == [
        "framework=vllm",
        "framework=sglang",
    ]
