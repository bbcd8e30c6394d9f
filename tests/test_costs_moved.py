"""Activations of single modules in the host's memory: what the GPU no longer holds, and what moving them costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compiler.costs import moved, offload
from compiler.costs.case import Case, case
from compiler.costs.pipeline.flight import in_flight
from compiler.costs.work.activations import in_training, stored_each
from compiler.specs.model import Model
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, MIXTRAL, TRAIN, world

TOKENS = 4096


def planned(model: Model, *modules: str, **more: Any) -> Case:
    workload = replace(TRAIN, global_batch_size=8, offload_modules=list(modules), **more)
    return case(world("pp4_ep2", model, workload))


@pytest.mark.parametrize(
    ("modules", "each"),
    [
        (["qkv_linear"], 2 * 2 * 4096),  # the norm is within the product
        (["attn_norm"], 0),
        (["core_attn"], 2 * (4096 + 2 * 1024)),  # what the last product reads stays for it
        (["core_attn", "attn_proj"], 2 * (2 * 4096 + 2 * 1024)),
        (["mlp_norm"], 2 * 4096),
        (["expert_fc1"], 2 * 2 * 4096),
        (["moe_act"], 2 * 2 * 2 * 14_336),
        (["expert_fc1", "moe_act"], 2 * 2 * (4096 + 2 * 14_336)),
    ],
)
def test_modules_send_what_they_keep(modules: list[str], each: float) -> None:
    """Mixtral 8x7B: two experts a token; of each of the eight layers of a stage."""
    plan, here = planned(MIXTRAL, *modules), planned(MIXTRAL)
    assert moved.each(plan, stored_each(plan)).tolist() == [8 * TOKENS * each] * 4
    less = in_training(here) - in_training(plan)
    assert less.tolist() == pytest.approx((in_flight(plan) * 8 * TOKENS * each - TOKENS * each).tolist())


def test_what_runs_again_is_not_sent() -> None:
    again = planned(DEEPSEEK_V3, "core_attn", recompute="selective", recompute_modules=["mla_up_proj"])
    assert not moved.each(again, stored_each(again)).any()
    layer = planned(DEEPSEEK_V3, "attn_norm", "qkv_linear", recompute="selective", recompute_modules=["layernorm"])
    found = moved.each(layer, stored_each(layer)) / layer.running.layers
    assert found.tolist() == [TOKENS * 2 * 7168] * 4


def test_moving_them_takes_time() -> None:
    workload = replace(TRAIN, global_batch_size=8)
    there = world("pp4_ep2", MIXTRAL, replace(workload, offload_modules=["moe_act"]))
    here, sent = cost(world("pp4_ep2", MIXTRAL, workload)).projection, cost(there).projection
    assert here
    assert sent
    plan = case(there)
    count = float(plan.micro_batches)
    passes = offload.exposed(plan, stored_each(plan), here.pipeline_s / count / 3)
    assert sent.step_time_s == pytest.approx(here.step_time_s + count * float(passes))
    assert passes > 0
