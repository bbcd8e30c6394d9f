"""Adapters of low rank: what is trained, kept, sent and computed where the weights beside them are frozen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compiler.costs.case import Case, case
from compiler.costs.trained import trained
from compiler.costs.work.memory import memory
from compiler.costs.work.params import Counts, counts, totals
from compiler.invariants import declared
from compiler.specs.workload import Workload
from tests.configs import changed, composed
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, MIXTRAL, TRAIN, world

LORA = replace(TRAIN, lora_rank=16)
MEGATRON = composed(
    "framework=megatron", "workload=train", "model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=1", "~expect"
)


def held(plan: Case) -> Counts:
    return counts(plan, totals(plan.model))


def test_adapters_are_beside_every_product() -> None:
    """Llama 3.1 8B: queries, keys and values in one product, gate and up in one."""
    plan = case(world("tp2_dp2", LLAMA_8B, LORA))
    found = trained(plan, held(plan))
    layer = (4096 + 4096 + 2 * 1024) + (4096 + 4096) + (4096 + 2 * 14_336) + (14_336 + 4096)
    assert found.dense.tolist() == [16 * 32 * layer / 2]
    assert found.moe.tolist() == [0]


def test_every_expert_has_adapters() -> None:
    plan = case(world("ep4_etp1_adp4", MIXTRAL, LORA))
    found = trained(plan, held(plan))
    assert found.moe.tolist() == [16 * 32 * 2 * ((4096 + 2 * 14_336) + (14_336 + 4096))]


def test_latent_attention_has_them_at_its_down_and_up_projections() -> None:
    plan = case(world("tp1", DEEPSEEK_V3, LORA))
    attention = (7168 + 1536) + (1536 + 128 * 192) + (7168 + 576) + (512 + 128 * 256) + (128 * 128 + 7168)
    shared, mlp = 7168 + 2 * 2048 + 2048 + 7168, 7168 + 2 * 18_432 + 18_432 + 7168
    layers = plan.running.layers.sum()
    expected = 16 * (layers * attention + 3 * mlp + (layers - 3) * shared)
    assert trained(plan, held(plan)).dense.sum() == pytest.approx(expected)


def test_frozen_weights_have_neither_gradients_nor_moments() -> None:
    plan, full = case(world("tp2_dp2", LLAMA_8B, LORA)), case(world("tp2_dp2", LLAMA_8B, TRAIN))
    own = trained(plan, held(plan)).total
    found, other = memory(plan, held(plan)), memory(full, held(full))
    assert found.gradients_bytes.tolist() == (4 * own).tolist()
    assert found.optimizer_bytes.tolist() == (12 * own / 2).tolist()
    assert (found.weights_bytes - other.weights_bytes).tolist() == (2 * own).tolist()
    assert found.activations_bytes.tolist() == other.activations_bytes.tolist()


def test_an_adapter_reads_what_the_product_beside_it_reads_in_bf16() -> None:
    narrow: dict[str, Any] = {"precision": "fp8"}
    plan, wide = case(world("tp2", LLAMA_8B, replace(LORA, **narrow))), case(world("tp2", LLAMA_8B, LORA))
    assert memory(plan, held(plan)).activations_bytes.tolist() == memory(wide, held(wide)).activations_bytes.tolist()


def test_a_step_has_no_gradients_of_frozen_weights() -> None:
    """A third less work; little to send and to update."""

    def step(workload: Workload) -> Any:
        return cost(world("tp2_dp4", LLAMA_8B, replace(workload, global_batch_size=64))).projection

    full, lora = step(TRAIN), step(LORA)
    assert lora.model_flops == pytest.approx(full.model_flops * 2 / 3)
    assert 0.6 < lora.pipeline_s / full.pipeline_s < 0.75
    assert lora.gradients_s + lora.optimizer_s < 0.05 * (full.gradients_s + full.optimizer_s)


def test_megatron_has_adapters_in_a_program_of_the_users_alone() -> None:
    config = changed(MEGATRON, {"workload.lora_rank": 32})
    (found,) = (check for check in declared(config) if check.id == "megatron-lora")
    assert found.status == "fail"
    assert "Megatron-Bridge's recipes do" in found.message
    own = changed(config, {"launch.command": ["python3", "run_recipe.py"]})
    assert [check.status for check in declared(own) if check.id == "megatron-lora"] == ["pass"]
