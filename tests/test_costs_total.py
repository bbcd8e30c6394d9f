"""The whole: the contract's keys, plain finite numbers whatever the plan, laws that hold for random degrees, speed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.costs.calibration import Calibration
from compiler.costs.constants import BUFFERS_BYTES
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.speed import calibrated
from compiler.world import World
from tests.costed import cost
from tests.worlds import (
    DEEPSEEK_V3,
    GENERIC,
    GPT3,
    GPT_OSS,
    LLAMA_8B,
    MIXTRAL,
    MOE_30B,
    QWEN_30B,
    ROOMY,
    SERVE,
    TRAIN,
    world,
)

MODELS = [DEEPSEEK_V3, GPT3, GPT_OSS, LLAMA_8B, MIXTRAL, MOE_30B, QWEN_30B]
MEMORY = {
    "weights_bytes",
    "gradients_bytes",
    "optimizer_bytes",
    "activations_bytes",
    "kv_cache_bytes",
    "other_bytes",
    "total_bytes",
    "capacity_bytes",
    "worst_rank",
}
GROWING = ("other_bytes", "total_bytes")
"""Where buffers of communicators count."""


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def check(found: dict[str, Any]) -> None:
    """Plain, finite, not negative."""
    json.dumps(found, allow_nan=False)
    for leaf in leaves(found):
        assert type(leaf) in (int, float, str, bool, type(None))
        assert isinstance(leaf, str) or leaf is None or leaf >= 0


@pytest.mark.parametrize("workload", [SERVE, TRAIN], ids=["serve", "train"])
def test_dictionary_has_the_keys_that_others_read(workload: Workload) -> None:
    found = cost(world(workload=workload)).to_dict()
    assert set(found) == {"params", "memory", "communicators", "dispatch", "communication", "projection"}
    assert {"total", "active", "dense", "moe", "declared_total", "per_rank_max"} <= set(found["params"])
    assert set(found["memory"]) == MEMORY | {"stages", "total_low_bytes", "total_high_bytes"}
    assert [set(stage) for stage in found["memory"]["stages"]] == [MEMORY | {"pp"}] * 4
    keys = {"kind", "op", "bytes_per_rank", "count", "span", "seconds", "overlapped", "phase"}
    assert all(keys <= set(row) for row in found["communication"])
    phases = {"serve": {"prefill", "decode"}, "train": {"train"}}
    assert {row["phase"] for row in found["communication"]} == phases[workload.kind]
    assert set(found["projection"]) == {workload.kind}


def test_training_projection_has_the_keys_that_others_read() -> None:
    found = cost(world(workload=TRAIN)).to_dict()["projection"]["train"]
    assert {
        "step_time_s",
        "tokens_per_s",
        "tokens_per_s_per_gpu",
        "model_tflops_per_gpu",
        "mfu",
        "bubble_fraction",
    } <= set(found)


def test_same_plan_same_dictionary() -> None:
    assert json.dumps(cost(world()).to_dict()) == json.dumps(cost(world()).to_dict())


def powers(highest: int) -> st.SearchStrategy[int]:
    return st.sampled_from([2**i for i in range(highest + 1)])


@st.composite
def plans(draw: st.DrawFn, models: list[Model] = MODELS) -> World:
    """Any degrees that the two grids can hold, sensible or not."""
    model = draw(st.sampled_from(models))
    pp, vpp = draw(st.integers(1, 5)), draw(st.integers(1, 2))
    tp, cp, adp = draw(powers(5)), draw(powers(2)), draw(st.integers(1, 12))
    ep = draw(st.sampled_from([n for n in (1, 2, 3, 4, 8) if adp * cp % n == 0])) if model.moe else 1
    train = draw(st.booleans())
    workload = replace(
        TRAIN if train else SERVE,
        global_batch_size=draw(st.integers(1, 300)),
        micro_batch_size=draw(st.integers(1, 5)),
        precision=draw(st.sampled_from(["fp32", "bf16", "fp16", "fp8", "fp4"])),
        recompute=draw(st.sampled_from(["none", "selective", "full"])),
        schedule=draw(st.sampled_from(["1f1b", "interleaved", "zero_bubble", "dualpipe"])),
        sequence_parallel=draw(st.sampled_from([None, True, False])),
        distributed_optimizer=draw(st.booleans()),
        zero_stage=draw(st.integers(0, 3)),
    )
    return world(f"tp{tp}_cp{cp}_pp{pp}_vpp{vpp}_ep{ep}_adp{adp}", model, workload)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_any_plan_has_plain_finite_costs(found: World) -> None:
    check(cost(found).to_dict())


@settings(max_examples=40, deadline=None)
@given(plans(), st.sampled_from([2, 4]))
def test_more_tensor_parallelism_never_needs_more_memory(found: World, times: int) -> None:
    """Part by part and stage by stage (the fullest stage may be another one); a rank's sequences stay the same."""
    config = found.config
    wider = replace(config.parallel, tp=config.parallel.tp * times)
    fixed = replace(config.workload, sequence_parallel=config.sequence_parallel)
    names = {key: getattr(wider, key) for key in ("cp", "pp", "vpp", "ep", "adp")}
    before, after = (
        cost(world(f"tp{tp}", config.model, fixed, ROOMY, **names)).to_dict()["memory"]["stages"]
        for tp in (config.parallel.tp, wider.tp)
    )
    new = 2 * BUFFERS_BYTES * (config.parallel.tp == 1)  # groups of tp and of etp, which were of one rank
    for less, more in zip(after, before, strict=True):
        assert all(less[part] <= more[part] for part in MEMORY - {"worst_rank", "capacity_bytes", *GROWING})
        assert all(less[part] <= more[part] + new for part in GROWING)


@settings(max_examples=40, deadline=None)
@given(plans())
def test_stage_totals_are_the_sums_of_their_parts(found: World) -> None:
    memory = cost(found).to_dict()["memory"]
    parts = MEMORY - {"worst_rank", "capacity_bytes", "total_bytes"}
    for stage in memory["stages"]:
        assert stage["total_bytes"] == sum(stage[part] for part in parts)
    assert memory["total_bytes"] == max(stage["total_bytes"] for stage in memory["stages"])


@pytest.mark.parametrize("workload", [SERVE, TRAIN], ids=["serve", "train"])
@pytest.mark.parametrize(
    "broken",
    [
        lambda w: world("tp7_pp3_adp5", LLAMA_8B, w),
        lambda w: world("tp64_pp2", QWEN_30B, w),
        lambda w: world("ep5_tp2_dp3", QWEN_30B, w),
        lambda w: world("ep8_tp2_adp2", QWEN_30B, w, etp=4),
        lambda w: world("adp64", LLAMA_8B, replace(w, global_batch_size=3)),
        lambda w: world("tp2", LLAMA_8B, replace(w, global_batch_size=0)),
        lambda w: world("tp2", LLAMA_8B, replace(w, sequence_length=0, sequence_lengths=[0], output_length=0)),
        lambda w: world("tp2", LLAMA_8B, replace(w, sequence_length=None, sequence_lengths=[])),
        lambda w: world("tp2", replace(MIXTRAL, num_experts_per_tok=0), w),
        lambda w: world("ep16_dp2", replace(MIXTRAL, num_experts_per_tok=9), w),
        lambda w: world("tp2", replace(DEEPSEEK_V3, qk_rope_head_dim=None, v_head_dim=None), w),
        lambda w: world("tp2", replace(LLAMA_8B, num_attention_heads=5000), w),
        lambda w: world("pp4", LLAMA_8B, w, stages=[1, 1, 1, 1]),
        lambda w: world("pp2", LLAMA_8B, w, stages=[40, 40]),
        lambda w: world("tp16_dp4", LLAMA_8B, w, replace(GENERIC, nodes=1)),
    ],
    ids=[
        "heads and layers",
        "heads below tp",
        "experts",
        "grids that differ",
        "fewer sequences than ranks",
        "no sequences",
        "no tokens",
        "no lengths",
        "no expert chosen",
        "more chosen than there are",
        "half an MLA",
        "heads of width 0",
        "layers left over",
        "layers that do not exist",
        "a cluster that is too small",
    ],
)
@pytest.mark.parametrize("measured", [False, True], ids=["assumed", "measured"])
def test_plans_that_will_be_refused_are_costed_all_the_same(broken: Any, workload: Workload, measured: bool) -> None:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    check(cost(broken(workload), Calibration(gpu) if measured else None).to_dict())


def calls(found: World) -> int:
    """Python functions that costing a plan calls, once everything is imported."""
    cost(found)
    count = 0

    def event(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal count
        count += what == "call"

    sys.setprofile(event)
    try:
        cost(found).to_dict()
    finally:
        sys.setprofile(None)
    return count


def test_a_million_ranks_are_no_more_work_for_python_than_a_thousand() -> None:
    """What grows is numpy's; benchmarks/compile.py has the seconds."""
    large = world("ep16_tp8_pp16_dp512", workload=replace(SERVE, global_batch_size=65_536))
    assert large.size == 1_048_576
    assert calls(large) < 2 * calls(world())
