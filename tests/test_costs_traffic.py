"""How many collectives a step or a pass needs, and of how many bytes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.costs.case import case
from compiler.costs.work.params import totals
from compiler.costs.work.traffic import synchronising
from compiler.specs.hardware import Nic
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.costed import cost, held
from tests.worlds import DEEPSEEK_V3, GENERIC, LLAMA_8B, MIXTRAL, MOE_30B, QWEN_30B, SERVE, TRAIN, world


def rows(
    degrees: str, model: Model = LLAMA_8B, workload: Workload = TRAIN, **changes: Any
) -> dict[Any, dict[str, Any]]:
    """(phase, kind, op, role) -> row."""
    found = cost(world(degrees, model, replace(workload, **changes))).to_dict()["communication"]
    return {(row["phase"], row["kind"], row["op"], row["role"]): row for row in found}


def test_tensor_parallel_calls_of_a_dense_step() -> None:
    """Four all_reduces of s*b*h a layer, two of them in backward; one more at either end of the model."""
    row = rows("tp4_dp2", sequence_parallel=False)["train", "tp", "all_reduce", "activations"]
    assert row["count"] == 512 * (4 * 32 + 2)
    assert row["backward_count"] == 512 * (2 * 32 + 1)
    assert row["bytes_per_call"] == 4096 * 4096 * 2
    assert row["bytes_per_rank"] == row["count"] * row["bytes_per_call"] * 2 * 3 // 4


def test_sequence_parallel_moves_as_many_bytes() -> None:
    plain, split = rows("tp4", sequence_parallel=False), rows("tp4", sequence_parallel=True)
    halves = [split["train", "tp", op, "activations"]["bytes_per_rank"] for op in ("all_gather", "reduce_scatter")]
    assert sum(halves) == plain["train", "tp", "all_reduce", "activations"]["bytes_per_rank"]


def test_full_recomputation_repeats_the_forward_calls() -> None:
    none, full = (rows("tp4", recompute=name)["train", "tp", "all_gather", "activations"] for name in ("none", "full"))
    assert full["count"] - none["count"] == none["count"] - none["backward_count"] > 0


def test_experts_dispatch_and_combine_in_both_directions() -> None:
    found = rows("ep8_etp2_tp2_dp2", MIXTRAL)
    for role in ("dispatch", "combine"):
        row = found["train", "ep", "all_to_all", role]
        assert row["count"] == 2 * row["backward_count"] == 2 * 32 * 64
        assert row["bytes_per_call"] == 2 * (4096 / 2) * 4096 * 2  # top-2 of a TP rank's tokens
    assert found["train", "etp", "all_gather", "dispatch"]["bytes_per_call"] == 2 * 4096 * 4096 * 2


def test_a_deduplicated_dispatch_sends_a_token_once_to_each_rank() -> None:
    naive, once = (rows("ep8_dp2", MIXTRAL, dispatch=name)["train", "ep", "all_to_all", "dispatch"]
                   for name in ("alltoall", "deduplicated"))  # fmt: skip
    assert once["bytes_per_rank"] == pytest.approx(naive["bytes_per_rank"] * 8 * (1 - (7 / 8) ** 2) / 2)
    assert once["seconds"] < naive["seconds"]


def test_dispatch_runs_beside_computation_where_it_is_asked_to() -> None:
    found = [
        rows("ep8_dp2", MIXTRAL, overlapped_dispatch=x)["train", "ep", "all_to_all", "combine"] for x in (False, True)
    ]
    assert [row["overlapped"] for row in found] == [False, True]


def test_serving_needs_two_all_to_alls_a_moe_layer_and_no_gradients() -> None:
    found = rows("ep16_tp4_pp4_dp4", MOE_30B, SERVE)
    for phase in ("prefill", "decode"):
        assert sum(row["count"] for key, row in found.items() if key[:2] == (phase, "ep")) == 2 * 4
    assert not {key[1] for key in found} & {"dp", "dp_cp", "edp"}
    assert not any(row["backward_count"] for row in found.values())
    assert found["decode", "tp", "all_reduce", "activations"]["bytes_per_call"] == 1024 * 2


def test_imbalance_swells_the_busiest_rank() -> None:
    even, skewed = (rows("ep8_dp2", MIXTRAL, imbalance=x)["train", "ep", "all_to_all", "dispatch"] for x in (1.0, 1.5))
    assert skewed["bytes_per_rank"] == 1.5 * even["bytes_per_rank"]


def test_ring_passes_keys_and_values() -> None:
    row = rows("cp4")["train", "cp", "send_recv", "keys and values"]
    assert row["count"] == 3 * 3 * 32 * 1024  # 3 hops, forward and twice in backward
    assert row["bytes_per_call"] == 2 * 8 * 128 * 1024 * 2
    assert row["overlapped"]


def test_pipeline_sends_both_ways() -> None:
    found = rows("pp4_dp2")["train", "pp", "send_recv", "stages"]
    assert (found["count"], found["bytes_per_call"]) == (2 * 512, 4096 * 4096 * 2)
    assert rows("pp2_dp2")["train", "pp", "send_recv", "stages"]["count"] == 512  # each end sends one way only
    assert rows("pp4_vpp2_dp2")["train", "pp", "send_recv", "stages"]["count"] == 2 * 2 * 512


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"reduce_scatter": 1, "all_gather": 1}),
        ({"distributed_optimizer": False}, {"all_reduce": 1}),
        ({"zero_stage": 2}, {"reduce_scatter": 1, "all_gather": 1}),
        ({"zero_stage": 3}, {"reduce_scatter": 32 * 256, "all_gather": 2 * 32 * 256}),
    ],
)
def test_gradients_and_parameters(changes: dict[str, Any], expected: dict[str, int]) -> None:
    found = {key[2]: row for key, row in rows("dp4", **changes).items() if key[1] == "dp"}
    assert {op: row["count"] for op, row in found.items()} == expected
    for op, row in found.items():
        each = 2 if op == "all_gather" else 4
        calls = expected[op] / (32 if changes.get("zero_stage") == 3 else 1)
        passes = 2 if op == "all_reduce" else 1
        assert row["bytes_per_rank"] == pytest.approx(8_030_261_248 * each * calls * passes * 3 / 4, rel=1e-9)


def test_expert_gradients_have_their_own_group() -> None:
    found = rows("ep4_cp2_adp8", QWEN_30B)
    dense = found["train", "dp_cp", "reduce_scatter", "gradients"]
    routed = found["train", "edp", "reduce_scatter", "gradients"]
    assert routed["bytes_per_call"] == 48 * 32 * 3 * 2048 * 768 * 4
    assert dense["bytes_per_call"] == (30_532_122_624 - 48 * 128 * 3 * 2048 * 768 - 48 * 2 * 128) * 4


def test_spans_are_those_of_the_worst_group() -> None:
    small = replace(GENERIC, nic=Nic(1, 50e9, 5e-6))
    found = cost(world("tp8_pp2_dp4", LLAMA_8B, TRAIN, small)).to_dict()["communication"]
    assert {row["kind"]: row["span"] for row in found} == {"tp": "nvlink", "pp": "leaf", "dp": "leaf"}


def test_mtp_layers_communicate_in_training_only() -> None:
    plain = replace(DEEPSEEK_V3, num_nextn_predict_layers=0)
    for workload, added in ((TRAIN, 1), (SERVE, 0)):
        phase = "train" if workload is TRAIN else "prefill"
        key = (phase, "ep", "all_to_all", "dispatch")
        counts = [rows("ep8", model, replace(workload, global_batch_size=8))[key] for model in (DEEPSEEK_V3, plain)]
        ahead = [row["count"] - row["backward_count"] for row in counts]
        assert ahead[0] - ahead[1] == added


def test_numbers_are_finite() -> None:
    found = cost(world("ep8_tp2_pp2_dp2", QWEN_30B, TRAIN)).to_dict()["communication"]
    assert all(math.isfinite(row["seconds"]) and row["seconds"] > 0 for row in found)
    assert np.unique([row["count"] > 0 for row in found]).tolist() == [True]


@pytest.mark.parametrize("stage", [1, 3])
def test_copies_of_what_is_sharded_reduce_within_one_and_then_between_them(stage: int) -> None:
    """32 ranks in four copies: an eighth of the gradients is left to sum between them, in a step or a micro-batch."""
    laid = world("adp32", LLAMA_8B, replace(TRAIN, zero_stage=stage))
    found = list(synchronising(replace(case(laid), copies=4), held(laid)))
    assert {flow.op for flow in found if flow.part == "within"} == {"reduce_scatter", "all_gather"}
    (between,) = (flow for flow in found if flow.part == "between")
    assert between.op == "all_reduce"
    assert np.max(between.payload * (between.step + between.backward)) == pytest.approx(4 * totals(LLAMA_8B).dense / 8)


def test_a_plan_without_copies_reduces_in_whole_groups() -> None:
    laid = world("adp32", LLAMA_8B, TRAIN)
    assert {flow.part for flow in synchronising(case(laid), held(laid))} == {""}
