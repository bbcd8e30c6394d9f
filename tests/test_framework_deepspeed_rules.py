"""DeepSpeed's rules hold and break, and what their fixes say compiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import InvariantError
from compiler.specs.config import Config
from tests.command import BARE
from tests.configs import changed
from tests.deepspeed_cases import CASES
from tests.deepspeed_configs import DEEPSPEED, DENSE, FOLDED, TRAIN, ULYSSES, WHOLE, checks


@pytest.mark.parametrize(("name", "base", "change", "status", "says", "fix"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_fires_and_does_not(
    name: str, base: Config, change: Mapping[str, Any], status: str, says: str, fix: str
) -> None:
    before = checks(base).get(name)
    assert before is None or before.status == "pass"
    found = checks(changed(base, dict(change)))[name]
    assert found.status == status
    assert says in found.message
    assert fix in found.fix
    assert found.message.lower().startswith(("deepspeed 0.", "every rank", "expert groups"))


def test_the_partition_warning_needs_a_pipeline() -> None:
    assert "stages hold [4, 4, 4, 4]" in checks(TRAIN)["deepspeed-partition"].message
    assert "deepspeed-partition" not in checks(changed(TRAIN, {"parallel.pp": 1}))


@pytest.mark.parametrize(
    "base", [TRAIN, WHOLE, FOLDED, DENSE, ULYSSES], ids=["train", "whole", "folded", "dense", "ulysses"]
)
def test_nothing_is_refused_without_reason(base: Config) -> None:
    assert not [item for item in checks(base).values() if item.status == "fail"]


@pytest.mark.parametrize(
    ("bad", "said", "fix"),
    [
        (["parallel.etp=1"], "deepspeed-etp", ["framework.expert_layout=contiguous"]),
        (["parallel.etp=1"], "deepspeed-etp", ["parallel.etp=4"]),
        (["parallel.order=tp-cp-ep-pp-dp"], "deepspeed-order", ["parallel.order=tp-cp-ep-dp-pp"]),
        (["parallel.cp=2", "parallel.dp=2"], "deepspeed-cp", ["parallel.cp=1", "parallel.dp=4"]),
        (["workload.sequence_parallel=null"], "deepspeed-sequence-parallel", ["workload.sequence_parallel=false"]),
        (["workload.zero_stage=2"], "deepspeed-zero-pipeline", ["workload.zero_stage=1"]),
        (
            ["workload.optimizer_offload=0.5"],
            "deepspeed-optimizer-offload",
            ["workload.optimizer_offload=1"],
        ),
        (
            ["workload.activation_offload=0.5"],
            "deepspeed-activation-offload",
            ["workload.activation_offload=1", "workload.recompute=full"],
        ),
        (
            ["parallel.vpp=2", "workload.schedule=interleaved"],
            "deepspeed-vpp",
            ["parallel.vpp=1", "workload.schedule=1f1b"],
        ),
        (
            ["framework.expert_layout=autoep", "parallel.etp=1"],
            "deepspeed-autoep-pipeline",
            ["framework.expert_layout=contiguous"],
        ),
    ],
)
def test_a_refused_plan_compiles_with_its_fix(bad: list[str], said: str, fix: list[str]) -> None:
    with pytest.raises(InvariantError, match=said):
        compile_plan([BARE, *DEEPSPEED, *bad])
    keys = {item.partition("=")[0] for item in fix}
    kept = [item for item in bad if item.partition("=")[0] not in keys]
    assert compile_plan([BARE, *DEEPSPEED, *kept, *fix]).world_size == 1024


def test_a_bare_strategy_compiles_for_deepspeed() -> None:
    plan = compile_plan([BARE, "framework=deepspeed"])
    assert plan.name == "moe_30b_ep16_tp4_pp4_dp4_deepspeed"
    assert plan.groups["deepspeed.ds_model"].shape == (64, 16)
