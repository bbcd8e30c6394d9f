"""Every key of a workload changes something, or is said to change nothing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from compiler.api import compile_plan
from compiler.invariants.workload import NEEDS, OF_EXPERTS, OF_SERVING, OF_TRAINING, defaults
from compiler.passes import compile_config
from compiler.specs.config import Framework
from compiler.specs.states import States
from compiler.specs.workload import Workload
from tests.configs import changed, composed

OTHER: dict[str, Any] = {
    "sequence_length": 4097,
    "sequence_lengths": [77],
    "output_length": 7,
    "recompute": "full",
    "recompute_modules": ["mlp"],
    "offload_modules": ["core_attn"],
    "lora_rank": 8,
    "states": States(gradients="bf16"),
    "wide_layers": [1, 1],
    "optimizer": "muon",
    "cuda_graphs": "step",
    "distributed_optimizer": False,
    "zero_stage": 3,
    "optimizer_offload": 0.5,
    "activation_offload": 0.5,
    "schedule": "zero_bubble",
    "dispatch": "deduplicated",
    "overlapped_dispatch": True,
    "overlapped_shared_experts": True,
    "delayed_weight_gradients": True,
    "muon_steps": 3,
    "fused_attention": False,
    "fused_accumulation": False,
    "tokens": 1e12,
    "gpu_mtbf_s": 1e7,
    "checkpoint_s": 3.0,
    "checkpoint_interval_s": 9e4,
    "restart_s": 4.0,
    "prefix_share": 0.5,
    "prefill_chunk": 64,
    "draft_tokens": 1,
    "draft_acceptance": 0.5,
    "two_batch_overlap": True,
    "low_latency_dispatch": True,
    "kv_cache_precision": "fp8",
    "micro_batch_size": 2,
    "imbalance": 2.0,
    "imbalance_exponent": 0.5,
    "sequence_parallel": False,
    "precision": "fp32",
    "global_batch_size": 2048,
}
"""Of each key a value that is not the default, nor in a file of ours."""

MOE = ["model=qwen3_30b_a3b", "parallel=ep64_tp4_pp4_adp64_etp1", "~expect", "hardware=h100_80gb", "hardware.nodes=128"]


def said(plan: Any, name: str = "workload-setting") -> list[str]:
    return [check.message for check in plan.checks if check.id == name]


def costs(plan: Any) -> dict[str, Any]:
    contents = plan.to_dict()
    return {key: contents[key] for key in ("params", "memory", "communication", "dispatch", "projection", "experts")}


@pytest.mark.parametrize("kind", ["train", "serve"])
def test_a_key_changes_the_plan_or_is_said_not_to(kind: str) -> None:
    config = changed(composed(*MOE, f"workload={kind}"), {"hardware.gpu.memory_bytes": 1e13})
    if kind == "serve":
        config = changed(config, {"workload.draft_tokens": 2})
    usual = compile_config(config)
    assert said(usual) == []
    for key, value in OTHER.items():
        given = value if key != "sequence_parallel" else kind == "serve"  # neither kind's own
        plan = compile_config(changed(config, {f"workload.{key}": given}))
        idle = said(plan)
        assert (costs(plan) == costs(usual)) == bool(idle), key
        assert all(f"workload.{key}=" in message for message in idle)


def test_every_key_is_tried() -> None:
    assert {item.name for item in fields(Workload)} - set(OTHER) == {"kind", "pools", "role", "assumed"}
    assert {*OF_TRAINING, *OF_SERVING, *OF_EXPERTS, *NEEDS} <= set(defaults())


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["workload=serve", "workload.sequence_length=4096"], "workload.sequence_length=4096"),
        (["workload=train", "workload.output_length=1024"], "workload.output_length=1024"),
        (["workload=train", "workload.sequence_lengths=[128,1024]"], "workload.sequence_lengths=[128,1024]"),
        (["workload=train", "workload.gpu_mtbf_s=null", "workload.restart_s=3"], "workload.restart_s=3.0"),
        (["workload.draft_acceptance=0.5"], "workload.draft_acceptance=0.5"),
    ],
)
def test_what_a_user_wrote_for_nothing_is_said(overrides: list[str], key: str) -> None:
    (message,) = said(compile_plan(["scheduler=[]", "~expect", *overrides]))
    assert message.startswith(f"{key} has no effect on ")


@pytest.mark.parametrize(
    "overrides",
    [
        ["workload=train", "workload.kind=serve", "workload.sequence_lengths=[1024]"],
        ["workload=serve", "workload.kind=train", "workload.sequence_length=4096"],
        ["workload=train"],
        ["workload=serve"],
    ],
)
def test_what_a_file_of_ours_wrote_is_not(overrides: list[str]) -> None:
    assert said(compile_plan(["scheduler=[]", "~expect", *overrides])) == []


def test_a_framework_that_reads_no_arguments_says_so() -> None:
    config = changed(composed("~expect"), {"framework": Framework("none", "1.0", ["--x"])})
    assert said(compile_config(config), "framework-setting") == [
        "framework.version=1.0 has no effect on framework=none",
        "framework.args=['--x'] has no effect on framework=none",
    ]


def test_drafts_that_no_step_keeps_are_said() -> None:
    serve = [
        "model=deepseek_v3",
        "hardware=h200",
        "hardware.nodes=2",
        "parallel=ep16_adp16",
        "scheduler=[]",
        "~expect",
    ]
    serve += ["framework=sglang", "workload.sequence_lengths=[1024]"]
    few, many = (compile_plan([*serve, f"workload.draft_tokens={count}"]) for count in (3, 21))
    assert [check.status for check in few.checks if check.id == "draft-tokens"] == ["pass"]
    [warned] = [check for check in many.checks if check.id == "draft-tokens"]
    assert warned.status == "warn"
    assert "21 tokens are drafted by each step and 0.8 of them accepted" in warned.message
    assert "what follows the first 20 is kept by less than 1 of 100 steps" in warned.message
    assert warned.fix == "write workload.draft_tokens=20, or workload.draft_acceptance as it was measured"
