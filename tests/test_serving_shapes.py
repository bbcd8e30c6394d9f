"""Numbers that do not divide and that servers take all the same: prompts, batches, experts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.checks import Check
from compiler.passes import compile_config
from compiler.plan import Plan
from compiler.specs.config import Config
from tests.configs import changed, composed

VLLM = composed("framework=vllm", "model=mixtral_8x7b", "parallel=tp2_adp3_ep6_etp1", "hardware=h200")
VLLM = changed(VLLM, {"hardware.nodes": 1, "hardware.node.gpus": 6, "workload.global_batch_size": 8})
CP = composed("framework=vllm", "model=qwen3_30b_a3b", "parallel=tp2_cp4_adp1_ep8_etp1", "hardware=h200")
CP = changed(CP, {"hardware.nodes": 1, "workload.sequence_lengths": [1001]})
LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 128}
CP = changed(CP, {f"model.{key}": value for key, value in LATENT.items()})
TRAIN = composed("workload=train", "model=qwen3_30b_a3b", "parallel=tp2_cp2_ep4_etp1_adp2", "hardware=h200")


def check(config: Config, name: str) -> Check:
    return next(found for found in compile_config(config).checks if found.id == name)


def test_experts_that_do_not_divide_are_dealt_out_as_vllm_does() -> None:
    plan: Plan = compile_config(VLLM)
    assert check(VLLM, "experts").status == "warn"
    assert list(plan.rank_map["experts"]) == ["0-1", "2-3", "4", "5", "6", "7"]
    even = compile_config(changed(VLLM, {"parallel.ep": 4, "parallel.adp": 2, "hardware.node.gpus": 4}))
    held = [float(np.max(found.costs.held.moe)) for found in (plan, even)]
    assert held[0] == held[1]  # two of eight on the fullest rank of both


@pytest.mark.parametrize(
    "change",
    [
        {"framework.args": ["--all2all-backend=deepep_high_throughput"]},
        {"framework.args": ["--enable-eplb"]},
        {"framework.name": "none"},
    ],
)
def test_others_want_equal_shares(change: dict[str, Any]) -> None:
    from compiler.invariants.experts import blocks

    (found,) = blocks(changed(VLLM, change))
    assert (found.status, found.message) == ("fail", "num_experts 8 over ep=6 is 1.33333 each")


def test_a_rest_of_the_batch_is_costed_with_the_busiest_rank() -> None:
    found = check(VLLM, "batch")
    assert (found.status, found.fix) == ("warn", "write workload.global_batch_size=9 to fill all ranks alike")
    assert "the 3 of the busiest" in found.message
    one = [
        compile_config(changed(VLLM, {"workload.global_batch_size": size})).costs.memory.kv_cache_bytes.max()
        for size in (7, 8, 9, 10)
    ]
    assert one[0] == one[1] == one[2] < one[3]


def test_prompts_need_not_divide_over_cp() -> None:
    plan = compile_config(CP)
    assert "sequence-length" not in {found.id for found in plan.checks}
    times = [
        compile_config(changed(CP, {"workload.sequence_lengths": [n]})).costs.prefill[0].ttft_s
        for n in (1000, 1001, 2000)
    ]
    assert times[0] <= times[1] < times[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workload.sequence_length": 4098, "workload.precision": "bf16"}, "sequence of 4098 over 2*cp=4"),
        ({"workload.global_batch_size": 1001}, "global_batch_size 1001 over adp=2"),
    ],
)
def test_training_still_wants_whole_shares(change: dict[str, Any], said: str) -> None:
    from compiler.errors import InvariantError

    with pytest.raises(InvariantError) as error:
        compile_config(changed(TRAIN, change))
    assert said in str(error.value)
