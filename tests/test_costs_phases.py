"""Parts of a prefill and of a decode step add up to TTFT and TPOT, and the memory allows no more than it holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.rows.hardware import nominal
from compiler.api import compile_plan
from compiler.claims.performance import performance
from compiler.costs.calibration import Calibration
from compiler.costs.case import case
from compiler.costs.forward_pass import Pass
from compiler.costs.room import fitting
from compiler.costs.stage_time import OF_A_PASS
from compiler.costs.work.memory import memory
from compiler.costs.work.params import counts, totals
from compiler.specs.hardware import Hardware
from compiler.speed import calibrated
from compiler.traffic.streams import streams
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, LLAMA_70B, MOE_30B, SERVE, world

H100 = nominal("h100_80gb")
ROOMY_H100 = replace(H100, gpu=replace(H100.gpu, memory_bytes=1e13))
PLANS = [("ep16_tp4_pp4_dp4", MOE_30B), ("tp8_pp2_adp8", LLAMA_70B), ("ep32_etp1_adp32", DEEPSEEK_V3)]


def serve(degrees: str, model: Any, measured: bool, on: Hardware = H100, **changes: Any) -> dict[str, Any]:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    these = world(degrees, model, replace(SERVE, **changes), on)
    found: dict[str, Any] = cost(these, Calibration(gpu) if measured else None).to_dict()["projection"]["serve"]
    return found


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(("degrees", "model"), PLANS)
def test_parts_add_up(degrees: str, model: Any, measured: bool) -> None:
    found = serve(degrees, model, measured)
    for row in found["prefill"]:
        assert sum(row["parts"].values()) == pytest.approx(row["ttft_s"])
    for row in found["decode"]:
        assert sum(row["parts"].values()) == pytest.approx(row["tpot_s"])
    for row in found["prefill"] + found["decode"]:
        assert min(row["parts"].values()) > -1e-12


@pytest.mark.parametrize("measured", [True, False])
def test_parts_are_of_what_they_are_called(measured: bool) -> None:
    one = serve("dp8", LLAMA_70B, measured)["prefill"][0]["parts"]
    assert one["tp_s"] == one["pp_s"] == one["ep_s"] == 0
    wide = serve("tp8", LLAMA_70B, measured)["prefill"][0]["parts"]
    assert wide["tp_s"] > 0
    assert wide["products_s"] < one["products_s"]
    spread = serve("ep32_etp1_adp32", DEEPSEEK_V3, measured)
    assert spread["decode"][0]["parts"]["ep_s"] > 0
    uneven = serve("ep32_etp1_adp32", DEEPSEEK_V3, measured, imbalance=2.0)
    assert uneven["decode"][0]["parts"]["ep_s"] > spread["decode"][0]["parts"]["ep_s"]


def test_every_part_of_a_pass_is_one_of_its_fields() -> None:
    """Else a renamed field would go to the host's part unseen."""
    assert all(set(names) & set(Pass.__dataclass_fields__) for names in OF_A_PASS.values())


def test_the_largest_batch_fills_the_memory() -> None:
    these = world("tp8_adp2", LLAMA_70B, replace(SERVE, sequence_lengths=[4096], output_length=0), H100)
    plan = case(these)
    held = counts(plan, totals(LLAMA_70B))
    most = int(fitting(plan, held, 4096))

    def used(each: int) -> float:
        return float(
            memory(replace(plan, workload=replace(plan.workload, global_batch_size=2 * each)), held).total_bytes.max()
        )

    assert used(most) <= H100.gpu.memory_bytes < used(most + 1)
    found = serve("tp8_adp2", LLAMA_70B, measured=False, sequence_lengths=[4096, 8192])
    assert found["decode"][0]["largest_batch"] == pytest.approx(2 * found["decode"][1]["largest_batch"], rel=0.01)


def test_what_does_not_fit_has_no_batch() -> None:
    found = serve("tp1", DEEPSEEK_V3, measured=False)
    assert [row["largest_batch"] for row in found["decode"]] == [0, 0, 0]


def test_what_is_found_is_neither_arithmetic_nor_traffic() -> None:
    def told(part: float) -> tuple[dict[str, Any], float]:
        these = world("tp8", LLAMA_70B, replace(SERVE, sequence_lengths=[8192], prefix_share=part), ROOMY_H100)
        flows = [flow for flow in streams(these)["prefill"] if flow.kind == "tp"]
        return performance(case(these), cost(these).to_dict()["projection"]), sum(
            float(flow.message.sum()) for flow in flows
        )

    (whole, sent), (tenth, less) = told(0.0), told(0.9)
    assert less == pytest.approx(0.1 * sent, rel=1e-3)
    assert tenth["prefill_intensity_longest"] == pytest.approx(0.1 * whole["prefill_intensity_longest"], rel=1e-3)
    assert 0 < tenth["prefill_mfu"] < whole["prefill_mfu"] < 1


def test_facts_of_speed_follow_the_plan() -> None:
    plan = case(world())
    projection = cost(world()).to_dict()["projection"]
    facts = performance(plan, projection)
    prefill = projection["serve"]["prefill"]
    assert facts["prefill_intensity_shortest"] == pytest.approx(2 * 64 / 2 / (400e12 * 0.6 / (1.8e12 * 0.8)))
    assert facts["prefill_mfu"] == pytest.approx(
        max(r["tokens_per_s_per_gpu"] for r in prefill) * 2 * 4.8e9 / 400e12, rel=0.06
    )
    assert facts["decode_intensity"] is not None
    assert facts["decode_intensity"] < 0.05
    training = performance(plan, {"train": {}})
    assert set(training.values()) == {None}


TRICKS = [
    {"prefix_share": 0.7},
    {"prefill_chunk": 1000},
    {"draft_tokens": 2},
    {"two_batch_overlap": True},
    {"low_latency_dispatch": True},
]


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: next(iter(trick)))
@pytest.mark.parametrize(("degrees", "model"), PLANS)
def test_parts_add_up_with_every_trick(degrees: str, model: Any, trick: dict[str, Any], measured: bool) -> None:
    found = serve(degrees, model, measured, **trick)
    for row in found["prefill"] + found["decode"]:
        assert sum(row["parts"].values()) == pytest.approx(row.get("ttft_s", row.get("tpot_s")))


@pytest.mark.parametrize("chunk", [None, 512])
@pytest.mark.parametrize(("degrees", "model"), PLANS)
def test_of_a_prompt_that_is_found_only_the_rest_is_computed(degrees: str, model: Any, chunk: int | None) -> None:
    def ttft(part: float) -> float:
        found = serve(degrees, model, True, sequence_lengths=[8192], prefill_chunk=chunk, prefix_share=part)
        return float(found["prefill"][0]["ttft_s"])

    whole, half, most, all_of_it = map(ttft, (0.0, 0.5, 0.9, 1.0))
    assert whole > half > most > all_of_it > 0
    assert half > whole / 2  # the rest meets the keys of what was found
    assert most < 0.6 * whole


@pytest.mark.parametrize("measured", [True, False])
def test_drafts_that_are_accepted_save_time_and_others_do_not(measured: bool) -> None:
    plain, good, bad = (
        serve("ep32_etp1_adp32", DEEPSEEK_V3, measured, draft_tokens=count, draft_acceptance=part)["decode"][0][
            "tpot_s"
        ]
        for count, part in ((0, 0.8), (1, 0.85), (1, 0.01))
    )
    assert plain / 1.85 < good < plain < bad


@pytest.mark.parametrize("measured", [True, False])
def test_two_batches_help_a_long_prefill_and_hurt_a_small_decode(measured: bool) -> None:
    """LMSYS: 27 to 35 % more in prefill, 27 % less in decode of up to 32 tokens a rank."""
    one, two = (serve("ep32_etp1_adp32", DEEPSEEK_V3, measured, two_batch_overlap=on) for on in (False, True))
    assert 1.0 < one["prefill"][-1]["ttft_s"] / two["prefill"][-1]["ttft_s"] < 1.8
    assert two["decode"][0]["tpot_s"] > one["decode"][0]["tpot_s"]


@pytest.mark.parametrize("measured", [True, False])
def test_chunks_take_longer_and_less_memory(measured: bool) -> None:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    whole, parts = (
        cost(world("tp8", LLAMA_70B, replace(SERVE, prefill_chunk=size), H100), Calibration(gpu) if measured else None)
        for size in (None, 512)
    )
    assert parts.prefill[-1].ttft_s > whole.prefill[-1].ttft_s
    assert parts.prefill[0].parts == whole.prefill[0].parts  # 128 tokens are one chunk
    assert (parts.memory.activations_bytes < whole.memory.activations_bytes / 4).all()


def test_chunks_of_a_pipeline_follow_each_other() -> None:
    """One prompt keeps a single stage busy; its chunks keep all of them."""
    whole, parts = (
        serve("tp2_pp4", LLAMA_70B, measured=False, prefill_chunk=size, global_batch_size=1) for size in (None, 2048)
    )
    assert parts["prefill"][-1]["ttft_s"] < 0.6 * whole["prefill"][-1]["ttft_s"]


@pytest.mark.parametrize(("ep", "expected"), [(16, 118e-6 + 195e-6), (64, 173e-6 + 314e-6)])
def test_low_latency_dispatch_takes_what_deepep_measured(ep: int, expected: float) -> None:
    """128 tokens a rank, on the 58 MoE layers of DeepSeek-V3, H800-like network."""
    found = serve(
        f"ep{ep}_etp1_adp{ep}", DEEPSEEK_V3, False, ROOMY_H100, low_latency_dispatch=True, global_batch_size=128 * ep
    )
    assert found["decode"][0]["parts"]["ep_s"] == pytest.approx(58 * expected)
    inside = serve("ep8_etp1_adp8", DEEPSEEK_V3, measured=False, low_latency_dispatch=True)
    assert inside["decode"] == serve("ep8_etp1_adp8", DEEPSEEK_V3, measured=False)["decode"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["workload=train", "workload.draft_tokens=2"], "workload.draft_tokens=2 has no effect on training moe_30b"),
        (["workload.overlapped_dispatch=true"], "workload.overlapped_dispatch=True has no effect on serving moe_30b"),
        (["workload.optimizer_offload=0.5"], "workload.optimizer_offload=0.5 has no effect on serving moe_30b"),
        (
            ["model=llama3_1_8b", "parallel=tp8_adp128", "workload.two_batch_overlap=true"],
            "workload.two_batch_overlap=True has no effect on serving llama3_1_8b",
        ),
    ],
)
def test_a_setting_without_effect_is_said(overrides: list[str], words: str) -> None:
    checks = compile_plan(["~expect", *overrides]).to_dict()["checks"]
    assert [check["message"] for check in checks if check["id"] == "workload-setting"] == [words]
    assert not [check for check in compile_plan(["~expect"]).checks if check.id == "workload-setting"]


def test_a_framework_that_is_not_told_of_passes_is_warned_of() -> None:
    def said(framework: str, *overrides: str) -> list[str]:
        given = [
            "model=llama3_1_8b",
            "parallel=tp8",
            "hardware=h100_80gb",
            "hardware.nodes=1",
            "scheduler=[]",
            "workload=serve",
        ]
        checks = compile_plan([*given, "~expect", f"framework={framework}", *overrides]).checks
        return [item.message for item in checks if item.id == "serving-passes"]

    asked = ["workload.global_batch_size=8", "workload.prefill_chunk=1024"]
    told = "costed, and not told to megatron: workload.prefill_chunk"
    assert said("megatron", *asked) == [told]
    assert said("vllm", *asked) == said("none", *asked) == said("megatron", asked[0]) == []


def test_a_framework_that_is_not_told_of_a_dispatch_is_warned_of() -> None:
    given = ["model=mixtral_8x7b", "hardware=h100_80gb", "parallel=ep8_tp4_dp4", "hardware.nodes=16", "workload=train"]
    given += ["workload.global_batch_size=64", "workload.recompute=full", "workload.dispatch=deduplicated"]

    def said(framework: str, *overrides: str) -> list[str]:
        more = ["scheduler=[]", f"framework={framework}", *overrides]
        return [item.message for item in compile_plan([*given, *more]).checks if item.id == "dispatch"]

    told = "workload.dispatch=deduplicated and overlapped_dispatch=false are costed, but deepspeed is not told of them"
    assert said("deepspeed", "workload.sequence_parallel=false") == [told]
    assert said("megatron") == said("none") == []
