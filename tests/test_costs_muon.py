"""Newton-Schulz products of Muon: their FLOPs by hand, over the ranks that share them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from compiler.costs.calibration import GpuCalibration, KernelCurve
from compiler.costs.case import case
from compiler.costs.work import muon
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.worlds import LLAMA_8B, MOE_30B, TRAIN, world

AT_PEAK = GpuCalibration(gemm={"bf16": KernelCurve(1.0, 10.0, 0.0, 20.0)})
"""Products at the GPU's peak, whose traffic is for nothing."""


def flops(n: int, k: int) -> float:
    """Of five steps on one matrix: X X^T, A A, and B X."""
    short, long = min(n, k), max(n, k)
    return 5 * (2 * short * short * long + 2 * short**3 + 2 * short * short * long)


def seconds(model: Model, degrees: str = "tp1", **changes: Any) -> list[float]:
    this = case(world(degrees, model, replace(TRAIN, optimizer="muon", **changes)))
    peak = this.hardware.gpu.peak_flops.bf16
    assert peak is not None
    return [float(value) * peak for value in muon.seconds(this, AT_PEAK)]


WHOLE: dict[str, Any] = {"distributed_optimizer": False}


def test_every_matrix_of_a_layer_is_made_orthogonal() -> None:
    kv, hidden, ffn = 1024, 4096, 14336
    layer = flops(hidden + 2 * kv, hidden) + flops(hidden, hidden) + flops(2 * ffn, hidden) + flops(ffn, hidden)
    assert seconds(LLAMA_8B, **WHOLE) == pytest.approx([32 * layer], rel=1e-3)


def test_twice_the_steps_take_twice_as_long() -> None:
    (once,), (twice,) = seconds(LLAMA_8B, **WHOLE), seconds(LLAMA_8B, muon_steps=10, **WHOLE)
    assert twice == pytest.approx(2 * once)


def test_ranks_of_a_distributed_optimizer_share_whole_matrices() -> None:
    (alone,), (four,), (many,) = (seconds(LLAMA_8B, f"adp{ranks}") for ranks in (1, 4, 64))
    assert four == pytest.approx(alone / 4, rel=1e-3)
    assert many == pytest.approx(alone / 32, rel=1e-3)  # a matrix of each kind at least


def test_a_tp_rank_takes_its_part_as_a_matrix_of_its_own() -> None:
    assert seconds(LLAMA_8B, "tp8", **WHOLE)[0] < seconds(LLAMA_8B, **WHOLE)[0] / 8


def test_experts_are_matrices_too() -> None:
    (few,), (all_of,) = seconds(MOE_30B, "ep8", **WHOLE), seconds(MOE_30B, **WHOLE)
    hidden, width = MOE_30B.hidden_size, MOE_30B.expert_size  # without a gate
    each = 2 * flops(width, hidden)
    assert all_of - few == pytest.approx(MOE_30B.num_hidden_layers * MOE_30B.num_experts * 7 / 8 * each, rel=1e-2)


def test_others_have_none() -> None:
    this = case(world("tp1", LLAMA_8B, Workload(kind="train", global_batch_size=8, sequence_length=128)))
    assert not muon.seconds(this, AT_PEAK).any()
