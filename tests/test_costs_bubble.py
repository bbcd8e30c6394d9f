"""A plan's bubble is its own schedule's, and the parts of its step add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.rows.hardware import nominal
from compiler.costs.calibration import Calibration
from compiler.costs.train import Train
from compiler.speed import calibrated
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, TRAIN, world

H100 = nominal("h100_80gb")
PARTS = ("pipeline_s", "bubble_s", "gradients_s", "optimizer_s", "fixed_s")


def step(
    degrees: str, schedule: str, measured: bool, stages: list[int] | None = None, model: object = LLAMA_8B
) -> Train:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    workload = replace(TRAIN, schedule=schedule, global_batch_size=64)
    assert model in (LLAMA_8B, DEEPSEEK_V3)
    chosen = DEEPSEEK_V3 if model is DEEPSEEK_V3 else LLAMA_8B
    found = cost(world(degrees, chosen, workload, H100, stages=stages), Calibration(gpu) if measured else None)
    assert found.projection is not None
    return found.projection


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("schedule", ["1f1b", "interleaved", "zero_bubble", "dualpipe"])
def test_parts_add_up_under_every_schedule(schedule: str, measured: bool) -> None:
    found = step("tp2_pp4", schedule, measured)
    assert found.step_time_s == pytest.approx(sum(getattr(found, name) for name in PARTS))
    assert found.bubble_s > 0
    assert found.pipeline_s == pytest.approx(found.kernels_s + found.exposed_s + found.waiting_s)


@pytest.mark.parametrize("measured", [True, False])
def test_schedules_wait_less_in_their_order(measured: bool) -> None:
    plain = step("tp2_pp4", "1f1b", measured).bubble_s
    assert step("tp2_pp4_vpp2", "interleaved", measured).bubble_s < plain
    assert step("tp2_pp4", "zero_bubble", measured).bubble_s < plain
    assert step("tp2_pp4", "dualpipe", measured).bubble_s < step("tp2_pp4", "zero_bubble", measured).bubble_s


@pytest.mark.parametrize("measured", [True, False])
def test_stages_of_fewer_layers_at_the_ends_take_the_embedding_and_the_head_in(measured: bool) -> None:
    even = step("tp2_pp4", "1f1b", measured, [8, 8, 8, 8])
    assert step("tp2_pp4", "1f1b", measured, [8, 9, 9, 6]).step_time_s < even.step_time_s
    assert step("tp2_pp4", "1f1b", measured, [6, 6, 6, 14]).step_time_s > even.step_time_s


@pytest.mark.parametrize("measured", [True, False])
def test_dualpipe_evens_a_stage_and_its_mirror_out(measured: bool) -> None:
    """Layers that lean to one end make every rank's two stages together the same."""
    even, leaning = (step("tp2_pp4", "dualpipe", measured, stages) for stages in ([8, 8, 8, 8], [5, 7, 9, 11]))
    assert leaning.step_time_s == pytest.approx(even.step_time_s, rel=0.05)
    assert step("tp2_pp4", "1f1b", measured, [5, 7, 9, 11]).step_time_s > 1.2 * even.step_time_s
