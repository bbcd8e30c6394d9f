"""Collectives: their seconds, what they run over, and how many a step or a pass needs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compiler.costs.arrays import array
from compiler.costs.calibration import GpuCalibration, LinkCurve
from compiler.costs.collectives import OPS, seconds, wire_bytes
from compiler.costs.exposed import Timed, pass_seconds
from compiler.costs.links import Reach, reach
from compiler.costs.total import cost
from compiler.costs.traffic import Flow
from compiler.specs.hardware import Fabric, Hardware, Nic, Nvlink
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.worlds import DEEPSEEK_V3, GENERIC, LLAMA_8B, MIXTRAL, MOE_30B, QWEN_30B, SERVE, TRAIN, world

LARGE = array(16 * 2.0**30)
B200 = replace(GENERIC, nvlink=Nvlink(8, 900e9, 1e-6))
MI300X = replace(GENERIC, nvlink=Nvlink(8, 448e9, 1e-6, mesh=True))


def rows(
    degrees: str, model: Model = LLAMA_8B, workload: Workload = TRAIN, **changes: Any
) -> dict[Any, dict[str, Any]]:
    """(phase, kind, op, role) -> row."""
    found = cost(world(degrees, model, replace(workload, **changes))).to_dict()["communication"]
    return {(row["phase"], row["kind"], row["op"], row["role"]): row for row in found}


@pytest.mark.parametrize(
    ("op", "size", "expected"),
    [
        ("all_reduce", 4, 1.5),
        ("all_gather", 4, 0.75),
        ("reduce_scatter", 8, 0.875),
        ("all_to_all", 16, 0.9375),
        ("send_recv", 4, 1),
    ],
)
def test_bytes_on_the_wire(op: str, size: int, expected: float) -> None:
    assert wire_bytes(op, array(100.0), size) == 100 * expected


@pytest.mark.parametrize("op", OPS)
def test_a_group_of_one_costs_nothing(op: str) -> None:
    assert seconds(op, LARGE, Reach("tp", 1, "gpu", 1), GENERIC) == 0
    assert wire_bytes(op, LARGE, 1) == 0


@pytest.mark.parametrize(
    ("op", "where", "hardware", "bus_bandwidth"),
    [
        ("all_gather", Reach("tp", 8, "nvlink", 1), GENERIC, 335e9),
        ("all_to_all", Reach("ep", 8, "nvlink", 1), GENERIC, 310e9),
        ("all_reduce", Reach("dp", 32, "leaf", 4), B200, 382e9),
        ("all_reduce", Reach("tp", 2, "nvlink", 1), MI300X, 47.7e9),
        ("all_reduce", Reach("tp", 8, "nvlink", 1), MI300X, 313e9),
    ],
    ids=["H100 all_gather", "H100 all_to_all", "4 nodes of B200 all_reduce", "2 of a mesh of MI300X", "8 of it"],
)
def test_large_messages_reach_measured_bandwidth(
    op: str, where: Reach, hardware: Hardware, bus_bandwidth: float
) -> None:
    found = wire_bytes(op, LARGE, where.size) / seconds(op, LARGE, where, hardware)
    assert found == pytest.approx(bus_bandwidth, rel=0.065)


def test_small_all_reduce_takes_its_measured_floor() -> None:
    assert seconds("all_reduce", array(8.0), Reach("tp", 8, "nvlink", 1), GENERIC) == pytest.approx(13e-6, rel=0.05)


def test_an_operation_without_a_curve_takes_its_nearest_ones() -> None:
    """An all_reduce is a reduce_scatter and an all_gather, each half of it, of which the switch does nothing."""
    gpu = GpuCalibration(links={"all_reduce": LinkCurve(0.0, 1e-6, 0.8, 0.1, 1e-5, switched=0.7)})
    whole = float(seconds("all_reduce", LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gpu))
    for op in ("all_gather", "reduce_scatter"):
        assert float(seconds(op, LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gpu)) == pytest.approx(whole / 2)
        half = float(seconds(op, LARGE, Reach("tp", 8, "nvlink", 1), GENERIC, gpu.without_switch()))
        assert float(seconds(op, LARGE, Reach("tp", 8, "nvlink", 1), GENERIC, gpu)) == half
    gathered = GpuCalibration(links={"all_gather": LinkCurve(0.0, 1e-6, 0.8, 0.1, 1e-5)})
    parts = [float(seconds(op, LARGE, Reach("tp", 4, "nvlink", 1), GENERIC, gathered)) for op in OPS[:2]]
    assert parts[0] == pytest.approx(2 * parts[1])


@pytest.mark.parametrize("op", OPS)
def test_farther_is_not_faster(op: str) -> None:
    oversubscribed = replace(GENERIC, fabric=Fabric("fat_tree", 4, 4, 2.0))
    near = [Reach("ep", 16, span, 16) for span in ("leaf", "pod", "fabric")]
    found = [float(seconds(op, LARGE, where, oversubscribed)) for where in near]
    assert found == sorted(found)
    assert found[1] > 1.9 * found[0]
    assert float(seconds(op, LARGE, Reach("ep", 16, "nvlink", 1), oversubscribed)) < found[0]


def test_seconds_are_arrays_over_sizes() -> None:
    sizes = array([1e3, 1e6, 1e9])
    where = Reach("dp", 16, "leaf", 2)
    assert seconds("all_reduce", sizes, where, GENERIC).tolist() == [
        float(seconds("all_reduce", array(size), where, GENERIC)) for size in sizes
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tp", Reach("tp", 4, "nvlink", 1)),
        ("ep", Reach("ep", 16, "leaf", 8)),
        ("pp", Reach("pp", 4, "pod", 4)),
        ("edp", Reach("edp", 4, "pod", 4)),
        ("cp", Reach("cp", 1, "gpu", 1)),
    ],
)
def test_reach_of_the_strategy(kind: str, expected: Reach) -> None:
    assert reach(world(), kind) == expected


def test_gpus_without_nvlink_and_missing_slots() -> None:
    alone = replace(GENERIC, nvlink=Nvlink(1, 1e9, 1e-6))
    assert reach(world("tp4", hardware=alone), "tp") == Reach("tp", 4, "node", 4)
    cramped = replace(world("tp4_dp4"), slots=world("tp4", hardware=replace(GENERIC, nodes=1)).slots)
    assert reach(cramped, "tp") == Reach("tp", 4, "fabric", 4)


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


def test_a_deduplicated_dispatch_crosses_each_domain_once() -> None:
    """16 copies over 4 domains of 8 ranks: 4(1 - (3/4)^16) of them leave, and the network is what counts."""
    far = Reach("ep", 32, "leaf", 4)
    naive, once = (float(seconds("all_to_all", LARGE, far, B200, copies=copies)) for copies in (0, 16))
    assert once / naive == pytest.approx(4 * (1 - 0.75**16) / 16, rel=0.01)


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


def flow(kind: str, overlapped: bool, seconds_each: float) -> Timed:
    one = array([1.0, 2.0])
    return Timed(
        Flow(kind, "all_gather", "", one, one, 2 * one, one, overlapped), Reach(kind, 2, "leaf", 2), array(seconds_each)
    )


@pytest.mark.parametrize(
    ("flows", "ahead", "back"),
    [
        ([flow("tp", False, 3.0)], [3, 6], [6, 12]),
        ([flow("cp", True, 3.0)], [2, 5], [5, 11]),  # behind the attention core's second
        ([flow("edp", True, 3.0)], [0, 0], [0, 2]),  # behind the ten seconds of computation
        ([flow("tp", False, 3.0), flow("edp", True, 9.0)], [3, 14], [14, 38]),
    ],
)
def test_overlapped_collectives_show_where_computation_is_shorter(
    flows: list[Timed], ahead: list[float], back: list[float]
) -> None:
    compute, attention = array([10.0, 10.0]), array([1.0, 1.0])
    assert pass_seconds(flows, compute, attention, backward=False).tolist() == ahead
    assert pass_seconds(flows, compute, attention, backward=True).tolist() == back


def test_numbers_are_finite() -> None:
    found = cost(world("ep8_tp2_pp2_dp2", QWEN_30B, TRAIN)).to_dict()["communication"]
    assert all(math.isfinite(row["seconds"]) and row["seconds"] > 0 for row in found)
    assert np.unique([row["count"] > 0 for row in found]).tolist() == [True]
