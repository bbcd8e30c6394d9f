"""FLOPs, kernels, the pipeline, training steps, prefill and decode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.costs.arrays import array
from compiler.costs.calibration import assumed_curves
from compiler.costs.case import case
from compiler.costs.pipeline.flight import bubble_fraction
from compiler.costs.work.flops import model_forward_per_token, model_step, peak_flops
from compiler.costs.work.forward import (
    dispatched,
    found_tokens,
    mean_keys,
    one_token,
    touched_fraction,
    whole_sequences,
)
from compiler.costs.work.params import counts, totals
from compiler.specs.hardware import Gpu, PeakFlops
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, GENERIC, GPT3, GPT_OSS, LLAMA_8B, LLAMA_70B, MIXTRAL, MOE_30B, SERVE, TRAIN, world


def projection(degrees: str, model: Model = LLAMA_8B, workload: Workload = TRAIN, **changes: Any) -> Any:
    found = cost(world(degrees, model, replace(workload, **changes))).to_dict()["projection"]
    return found.get("train") or found["serve"]


def gpu(**peaks: float) -> Gpu:
    return replace(GENERIC.gpu, peak_flops=PeakFlops(**peaks))


@pytest.mark.parametrize(
    ("precision", "peaks", "expected"),
    [
        ("fp16", {"fp16": 4.0, "bf16": 3.0}, 4.0),
        ("fp16", {"bf16": 3.0}, 3.0),
        ("fp8", {"bf16": 3.0, "fp4": 9.0}, 3.0),
        ("fp4", {"fp8": 6.0, "bf16": 3.0}, 3.0),  # weights alone are FP4 there
        ("fp32", {"tf32": 1.0, "bf16": 3.0}, 1.0),
    ],
)
def test_missing_peak_is_the_next_wider_one(precision: str, peaks: dict[str, float], expected: float) -> None:
    assert peak_flops(gpu(**peaks), precision) == expected


def test_no_peak_at_all_leaves_no_time() -> None:
    blind = replace(GENERIC, gpu=gpu(bf16=400e12))
    found = cost(world("tp4", LLAMA_8B, replace(TRAIN, precision="fp32"), blind)).to_dict()["projection"]["train"]
    assert found["step_time_s"] is found["mfu"] is found["tokens_per_s"] is None


def test_assumed_curves_are_of_the_files_rates() -> None:
    """A large product reaches the GPU's efficiency, a narrow one that of its memory."""
    curve = assumed_curves(GENERIC).kernel(assumed_curves(GENERIC).gemm, "fp8")
    work, moved = array([0.6, 0, 0.6]), array([0, 0.8, 1.6])
    assert curve.seconds(work, moved, array(1)).tolist() == pytest.approx([1, 1, 9 ** (1 / 3)], rel=1e-2)


def test_model_flops_are_those_of_the_published_formula() -> None:
    """SC21: 72*B*s*l*h^2*(1 + s/6h + V/12lh) without recomputation; its core attention is not causal, so halved here."""
    s, layers, h, v = 2048, 96, 12_288, 50_257
    plan = case(world("tp8", GPT3, replace(TRAIN, sequence_length=s, global_batch_size=1)))
    expected = 72 * s * layers * h**2 * (1 + s / (12 * h) + v / (12 * layers * h))
    assert model_step(plan, totals(GPT3)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("model", "active"), [(LLAMA_8B, 7.5e9), (MIXTRAL, 12.75e9), (DEEPSEEK_V3, 36.6e9)])
def test_forward_flops_of_a_short_sequence_are_twice_the_active_matrices(model: Model, active: float) -> None:
    found = model_forward_per_token(model, totals(model), 1, train=False)
    assert found == pytest.approx(2 * active, rel=0.01)


def test_declared_classes_set_the_gemm_flops() -> None:
    found = model_forward_per_token(MOE_30B, totals(MOE_30B), 0, train=False)
    assert found == 2 * (4e9 + 26e9 * 2 / 64)
    plan = case(world())
    held, forward = counts(plan, totals(MOE_30B)), whole_sequences(plan, "prefill", 1024)
    each = dispatched(plan, forward) * plan.ep / 64  # every TP rank of every stage does its part of 1024 tokens
    assert (2 * held.moe_gemm * each * 4).sum() == pytest.approx(2 * 26e9 * 2 / 64 * 1024)


def test_ranks_do_the_work_of_the_model() -> None:
    """Summed over ranks, the GEMMs of a step are the model's (dense model, nothing replicated that multiplies)."""
    plan = case(world("tp4_pp4_dp2", LLAMA_8B, TRAIN))
    held, forward = counts(plan, totals(LLAMA_8B)), whole_sequences(plan, "train", 4096)
    each = (2 * held.dense_gemm * forward.tokens).sum() * 4
    assert each == model_forward_per_token(LLAMA_8B, totals(LLAMA_8B), 0, train=True) * 4096


@pytest.mark.parametrize(
    ("length", "window", "expected"), [(8, None, 4), (8, 8, 4), (8, 100, 4), (8, 2, 1.75), (0, 4, 0)]
)
def test_mean_keys_of_a_query(length: int, window: int | None, expected: float) -> None:
    assert mean_keys(length, window) == expected


@pytest.mark.parametrize(("part", "found"), [(0.0, 0), (0.29, 29), (0.57, 57), (0.999, 99), (1.0, 99)])
def test_whole_tokens_are_found_and_the_last_never(part: float, found: int) -> None:
    assert found_tokens(replace(SERVE, prefix_share=part), 100) == found


@pytest.mark.parametrize("window", [None, 3, 700])
def test_queries_behind_a_prefix_meet_all_of_it(window: int | None) -> None:
    met = np.minimum(np.arange(1, 1001) - 0.5, window or 1001)  # a token meets half of itself
    for found in (0, 2, 500, 999):
        assert mean_keys(1000, window, found) == pytest.approx(met[found:].mean(), rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "vpp", "expected"),
    [
        ("1f1b", 1, 3 / 11),
        ("1f1b", 2, 3 / 19),
        ("interleaved", 2, 3 / 19),
        ("zero_bubble", 1, 1 / 9),
        ("dualpipe", 1, (2 / 3) / (8 + 2 / 3)),
    ],
)
def test_bubble_fractions(schedule: str, vpp: int, expected: float) -> None:
    plan = case(world("pp4", LLAMA_8B, replace(TRAIN, schedule=schedule, global_batch_size=8), vpp=vpp))
    assert bubble_fraction(plan) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zero_bubble", "dualpipe"])
def test_no_bubble_without_a_pipeline(schedule: str) -> None:
    assert projection("tp4_dp2", schedule=schedule)["bubble_fraction"] == 0


def test_step_parts_add_up_and_rates_follow() -> None:
    found = projection("tp4_pp2_dp4", LLAMA_70B)
    parts = ("pipeline_s", "bubble_s", "gradients_s", "optimizer_s", "fixed_s")
    assert found["step_time_s"] == pytest.approx(sum(found[part] for part in parts))
    assert found["tokens_per_s"] == pytest.approx(1024 * 4096 / found["step_time_s"])
    assert found["tokens_per_s_per_gpu"] == pytest.approx(found["tokens_per_s"] / 32)
    assert found["mfu"] == pytest.approx(found["model_tflops_per_gpu"] / 400)
    assert 0.3 < found["mfu"] < 0.6  # kernels reach 0.6 of peak


def test_recomputation_costs_time() -> None:
    none, selective, full = (
        projection("tp4_pp2_dp4", recompute=name)["step_time_s"] for name in ("none", "selective", "full")
    )
    assert none < selective < full < 1.5 * none


def test_imbalance_costs_time() -> None:
    even, skewed = (projection("ep8", MIXTRAL, imbalance=x)["step_time_s"] for x in (1.0, 1.5))
    assert even < skewed < 1.5 * even


def test_serving_has_a_row_for_every_length() -> None:
    found = projection("ep16_tp4_pp4_dp4", MOE_30B, SERVE)
    assert [row["sequence_length"] for row in found["prefill"]] == [128, 1024, 10_240]
    assert [row["context_length"] for row in found["decode"]] == [128, 1024, 10_240]
    for row, length in zip(found["prefill"], (128, 1024, 10_240), strict=True):
        assert row["tokens_per_s_per_gpu"] == pytest.approx(128 * length / row["ttft_s"] / 1024)
    for row in found["decode"]:
        assert row["batch"] == 128
        assert row["busy_stages"] == 2  # two sequences a rank, four stages
        assert row["tokens_per_s_per_gpu"] == pytest.approx(128 / row["tpot_s"] / 1024)


@pytest.mark.parametrize("phase", [("prefill", "ttft_s"), ("decode", "tpot_s")])
def test_longer_is_not_faster(phase: tuple[str, str]) -> None:
    times = [row[phase[1]] for row in projection("tp4_pp2_dp2", LLAMA_70B, SERVE)[phase[0]]]
    assert times == sorted(times)
    assert len(set(times)) == 3


def test_prompts_follow_each_other_through_the_stages() -> None:
    first, second, third = (
        projection("pp4", LLAMA_8B, SERVE, global_batch_size=n)["prefill"][0]["ttft_s"] for n in (1, 2, 3)
    )
    assert third - second == pytest.approx(second - first)
    assert (
        0 < second - first < first / 3
    )  # the last stage also has the head, and the first prompt what each takes anyway


def test_groups_of_sequences_wait_for_the_slowest_stage() -> None:
    even, uneven = (
        cost(world("pp4", LLAMA_8B, SERVE, stages=counts)).to_dict()["projection"]["serve"]["decode"][0]["tpot_s"]
        for counts in ([8, 8, 8, 8], [26, 2, 2, 2])
    )
    assert uneven > 2 * even  # the same layers in all


def test_windows_read_less_cache() -> None:
    short, full = (
        projection("tp1", model, SERVE)["decode"][-1]["tpot_s"]
        for model in (GPT_OSS, replace(GPT_OSS, sliding_window=None))
    )
    assert short < full


@pytest.mark.parametrize(("batch", "expected"), [(1, 1 - (62 / 64)), (64, 1 - (62 / 64) ** 64)])
def test_touched_experts(batch: int, expected: float) -> None:
    plan = case(world("tp1", replace(MOE_30B), replace(SERVE, global_batch_size=batch)))
    assert touched_fraction(plan, one_token(plan, 128)) == pytest.approx(expected)


def test_a_block_of_expert_parallel_ranks_shares_its_tokens() -> None:
    plan = case(world())  # 16 attention TP groups in a block, one sequence of each at a time
    assert touched_fraction(plan, one_token(plan, 128)) == pytest.approx(1 - (62 / 64) ** 16)


def test_more_sequences_give_more_tokens_but_not_sooner() -> None:
    few, many = (projection("tp8", LLAMA_70B, SERVE, global_batch_size=n)["decode"][0] for n in (1, 64))
    assert many["tokens_per_s_per_gpu"] > few["tokens_per_s_per_gpu"]
    assert many["tpot_s"] >= few["tpot_s"]
