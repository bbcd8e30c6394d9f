"""Memory: the published byte counts of weights and states, KV caches, sharding and the stages' parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.costs.arrays import array
from compiler.costs.case import case
from compiler.costs.work.activations import passing
from compiler.costs.work.memory import gathered, memory
from compiler.costs.work.params import counts, totals
from compiler.frameworks.lay_out import lay_out
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.configs import composed
from tests.costed import cost, held, kv_token, parts, under
from tests.worlds import DEEPSEEK_V3, GPT_OSS, LLAMA_8B, QWEN_30B, SERVE, TRAIN, world

PARTS = ["weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes", "kv_cache_bytes", "other_bytes"]


def test_strategy_needs_703_megabytes_of_weights_and_fits() -> None:
    found = cost(world()).to_dict()["memory"]
    assert found["weights_bytes"] == 703_125_000
    assert found["kv_cache_bytes"] == 2 * 16 * 64 * 2 // 4 * 4 * 2 * (10_240 + 1024)
    assert [found["gradients_bytes"], found["optimizer_bytes"]] == [0, 0]
    assert {stage["weights_bytes"] for stage in found["stages"]} == {703_125_000}
    assert found["total_bytes"] < found["capacity_bytes"] == 64_000_000_000


@pytest.mark.parametrize(("degrees", "workload"), [("tp2_pp4_dp2", TRAIN), ("ep4_tp2_pp2", SERVE), ("pp3_tp2", SERVE)])
def test_parts_add_up_and_the_fullest_stage_leads(degrees: str, workload: Workload) -> None:
    found = cost(world(degrees, QWEN_30B, workload)).to_dict()["memory"]
    for stage in [found, *found["stages"]]:
        assert stage["total_bytes"] == sum(stage[part] for part in PARTS)
    fullest = max(found["stages"], key=lambda stage: stage["total_bytes"])
    around = {key: found[key] for key in ("total_low_bytes", "total_high_bytes")}
    assert {**found, "pp": fullest["pp"]} == {**fullest, **around, "stages": found["stages"]}


def test_worst_rank_is_a_rank_of_its_stage() -> None:
    found = world("ep2_tp2_pp4_dp2", QWEN_30B, TRAIN, order="tp-cp-pp-ep-dp")
    stages = cost(found).to_dict()["memory"]["stages"]
    ranks = np.array([stage["worst_rank"] for stage in stages])
    assert np.array_equal(found.attention.coordinate("pp", ranks), np.arange(4))


@pytest.mark.parametrize(
    ("changes", "weights", "gradients", "optimizer"),
    [
        ({"distributed_optimizer": False}, 2, 4, 12),
        ({}, 2, 4, 12 / 8),
        ({"zero_stage": 1}, 2, 4, 12 / 8),
        ({"zero_stage": 2}, 2, 4 / 8, 12 / 8),
        ({"zero_stage": 3}, 2 / 8, 4 / 8, 12 / 8),
        ({"precision": "fp32"}, 4, 4, 8 / 8),
    ],
)
def test_bytes_of_a_trained_parameter(
    changes: dict[str, Any], weights: float, gradients: float, optimizer: float
) -> None:
    """Megatron: 18 bytes, or 6 + 12/D with a distributed optimizer over D = adp*cp ranks."""
    found, count = parts("adp4_cp2", **changes), totals(LLAMA_8B).dense
    assert [found[part] for part in PARTS[:3]] == [round(each * count) for each in (weights, gradients, optimizer)]


def test_experts_are_sharded_over_their_own_data_parallel_ranks() -> None:
    found, share = parts("ep4_adp8_tp2", QWEN_30B), held(world("ep4_adp8_tp2", QWEN_30B, TRAIN))
    assert found["optimizer_bytes"] == round(12 * float(share.dense[0] / 8 + share.moe[0] / 2))


@pytest.mark.parametrize(("precision", "each"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("fp8", 1), ("fp4", 0.5)])
def test_bytes_of_a_served_weight(precision: str, each: float) -> None:
    assert parts("tp1", workload=SERVE, precision=precision)["weights_bytes"] == totals(LLAMA_8B).dense * each


def test_torchtitan_shards_fp32_weights_and_copies_logits() -> None:
    found = world("adp8", LLAMA_8B, replace(TRAIN, zero_stage=3, global_batch_size=8))
    plan, count = replace(case(under(found, "torchtitan")), loss_chunks=1.0), totals(LLAMA_8B).dense
    part = memory(plan, held(found))
    assert part.weights_bytes + part.gradients_bytes + part.optimizer_bytes == pytest.approx(16 * count / 8)
    for tp, copies in ((1, 12), (8, 16)):
        loss = passing(replace(plan, tp=array(tp)))[1][0]
        assert loss == pytest.approx(copies * 4096 * (4096 + 128_256) / tp)


def test_torchtitan_keeps_a_stage_whole_between_micro_batches() -> None:
    """Counted in two micro-batches of torch 2.13: 6 bytes of each parameter beside the shards."""
    found = world("pp4_adp8", LLAMA_8B, replace(TRAIN, zero_stage=3, global_batch_size=64))
    plan, share = case(under(found, "torchtitan")), held(found)
    beside = gathered(plan, share) + memory(plan, share).gradients_bytes
    assert beside.tolist() == pytest.approx((6 * share.total).tolist())


def test_zero_3_gathers_the_tables_and_two_layers() -> None:
    found = world("adp8", LLAMA_8B, replace(TRAIN, zero_stage=3, global_batch_size=8))
    tables, count = 2 * 128_256 * 4096, totals(LLAMA_8B).dense
    assert gathered(case(found), held(found))[0] == pytest.approx(2 * 7 / 8 * (tables + (count - tables) / 16))


@pytest.mark.parametrize(
    ("model", "tp", "each"),
    [
        (LLAMA_8B, 1, 2 * 8 * 128 * 2),
        (LLAMA_8B, 4, 2 * 2 * 128 * 2),
        (LLAMA_8B, 16, 2 * 1 * 128 * 2),
        (DEEPSEEK_V3, 1, (512 + 64) * 2),
        (DEEPSEEK_V3, 8, (512 + 64) * 2),
    ],
)
def test_cached_bytes_of_a_token_and_layer(model: Model, tp: int, each: int) -> None:
    assert kv_token(case(world(f"tp{tp}", model))) == each


def test_windows_cap_the_cache_of_their_layers() -> None:
    found = parts("tp1", GPT_OSS, SERVE, global_batch_size=1)
    tokens = 18 * (10_240 + 1024) + 18 * 128
    assert found["kv_cache_bytes"] == 2 * 8 * 64 * 2 * tokens


def test_cache_is_divided_by_context_parallelism_and_by_attention_data_parallelism() -> None:
    whole = parts("tp1", workload=SERVE)["kv_cache_bytes"]
    assert parts("cp2", workload=SERVE)["kv_cache_bytes"] == whole / 2
    assert parts("adp4", workload=SERVE)["kv_cache_bytes"] == whole / 4
    assert parts("adp3", workload=SERVE)["kv_cache_bytes"] == whole * 43 / 128  # ceil(128 / 3)


def test_uneven_stages_are_costed_as_they_are() -> None:
    found = cost(world("pp4", LLAMA_8B, TRAIN, stages=[5, 9, 9, 9])).to_dict()["memory"]["stages"]
    layer, table = totals(LLAMA_8B).dense - 2 * 128_256 * 4096 - 4096, 128_256 * 4096
    expected = [5 * layer / 32 + table, 9 * layer / 32, 9 * layer / 32, 9 * layer / 32 + table + 4096]
    assert [stage["weights_bytes"] for stage in found] == [2 * count for count in expected]


def test_many_degrees_at_once_are_the_same_as_one_by_one() -> None:
    plan = case(world("ep4_tp2_pp2_dp2", QWEN_30B, TRAIN))
    sums, sizes = totals(QWEN_30B), [1, 2, 4]
    many = replace(plan, tp=array(sizes)[:, None], etp=array(sizes)[:, None])
    together = memory(many, counts(many, sums)).total_bytes
    for row, size in zip(together, sizes, strict=True):
        one = replace(plan, tp=array(size), etp=array(size))
        assert np.array_equal(row, memory(one, counts(one, sums)).total_bytes)


FSDP = (
    *(
        "framework=megatron",
        "model=llama3_1_8b",
        "hardware=h100_80gb",
        "hardware.nodes=1",
        "parallel=adp8",
        "workload=train",
    ),
    *("workload.zero_stage=3", "workload.precision=fp8", "workload.states.weights=fp8", "scheduler=[]"),
)


@pytest.mark.parametrize(
    ("option", "others", "bytes_of_a_layer", "layers"),
    [
        ("--fsdp-double-buffer", (), 4, 2),
        ("--keep-fp8-transpose-cache", (), 1, 32),
        ("--keep-fp8-transpose-cache", ("hardware=b200",), 1, 0),  # whose kernels read both orders
        ("--fsdp-double-buffer", ("workload.zero_stage=1",), 4, 0),
    ],
)
def test_what_megatrons_fsdp_keeps_at_hand(
    option: str, others: tuple[str, ...], bytes_of_a_layer: int, layers: int
) -> None:
    """A layer of Llama 3.1 8B has 218,112,000 parameters."""
    without, with_it = (lay_out(composed(*FSDP, *others, f"framework.args=[{args}]")) for args in ("", option))
    least, most = (cost(each).to_dict()["memory"]["other_bytes"] for each in (without, with_it))
    assert most - least == pytest.approx(218_112_000 * bytes_of_a_layer * layers, rel=1e-6)
