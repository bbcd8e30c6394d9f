"""What lives in the host's memory is not on the GPU, and costs the time of moving it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.rows.hardware import nominal
from compiler.costs.calibration import Calibration
from compiler.costs.constants import HOST_UPDATE_BANDWIDTH, PCIE_BANDWIDTH
from compiler.costs.total import Costs
from compiler.costs.train import Train
from compiler.speed import calibrated
from tests.costed import cost
from tests.worlds import LLAMA_8B, TRAIN, world


def plan(measured: bool = False, **changes: Any) -> Costs:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    these = world("tp2_pp2_dp2", LLAMA_8B, replace(TRAIN, global_batch_size=64, **changes), nominal("h100_80gb"))
    return cost(these, Calibration(gpu) if measured else None)


def step(measured: bool = False, **changes: Any) -> Train:
    found = plan(measured, **changes).projection
    assert found is not None
    return found


def test_the_optimizers_states_leave_the_gpu() -> None:
    none, half, whole = (plan(optimizer_offload=part).memory for part in (0.0, 0.5, 1.0))
    assert half.optimizer_bytes == pytest.approx(none.optimizer_bytes / 2)
    assert (whole.optimizer_bytes == 0).all()
    assert whole.weights_bytes == pytest.approx(none.weights_bytes)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_activations_leave_but_for_the_layer_that_runs(recompute: str) -> None:
    none, half, whole = (
        plan(activation_offload=part, recompute=recompute).memory.activations_bytes for part in (0.0, 0.5, 1.0)
    )
    assert none - half == pytest.approx(half - whole)
    assert (whole < none).all()
    assert (whole >= 0).all()


@pytest.mark.parametrize("measured", [True, False])
def test_the_update_waits_for_the_host(measured: bool) -> None:
    here, there = step(measured), step(measured, optimizer_offload=1.0)
    shard = float(plan().held.total.max()) / 2  # of two data-parallel ranks
    expected = shard * (6 / PCIE_BANDWIDTH + 28 / HOST_UPDATE_BANDWIDTH)
    assert there.optimizer_s - here.optimizer_s == pytest.approx(expected, rel=0.05)
    assert there.step_time_s - here.step_time_s == pytest.approx(there.optimizer_s - here.optimizer_s)
    assert there.tokens_per_s * there.step_time_s == pytest.approx(here.tokens_per_s * here.step_time_s)


@pytest.mark.parametrize("measured", [True, False])
def test_activations_show_only_beyond_the_computation(measured: bool) -> None:
    here, little, much = (step(measured, activation_offload=part) for part in (0.0, 0.01, 1.0))
    assert little.step_time_s == pytest.approx(here.step_time_s)
    assert much.step_time_s > here.step_time_s
    parts = ("pipeline_s", "bubble_s", "gradients_s", "optimizer_s", "fixed_s")
    assert much.step_time_s == pytest.approx(sum(getattr(much, part) for part in parts))
