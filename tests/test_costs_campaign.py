"""A whole run: tokens a day, days and GPU-hours to a number of tokens, and what failures leave of the time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compiler.costs.campaign import best_interval_s, campaign, goodput
from compiler.costs.train import Train
from tests.costed import cost
from tests.worlds import LLAMA_8B, TRAIN, world

LLAMA3_MTBF_S = 54 * 86400 * 16384 / 419


def step() -> Train:
    found = cost(world("tp4_pp2_dp4", LLAMA_8B, TRAIN)).projection
    assert found is not None
    return found


def test_days_are_tokens_over_the_pace() -> None:
    found, by = campaign(replace(TRAIN, tokens=1e12), step(), 32), step()
    assert found.tokens_per_day == pytest.approx(86400 * by.tokens_per_s)
    assert found.days == pytest.approx(1e12 / found.tokens_per_day)
    assert found.gpu_hours == pytest.approx((found.days or 0) * 24 * 32)
    assert found.goodput is None


def test_goodput_stretches_the_days() -> None:
    calm, rough = (campaign(replace(TRAIN, tokens=1e12, gpu_mtbf_s=mtbf), step(), 32) for mtbf in (1e12, 1e6))
    assert (rough.goodput or 0) < 0.95 < (calm.goodput or 0) < 1
    assert (calm.days or 0) * (calm.goodput or 0) == pytest.approx((rough.days or 1) * (rough.goodput or 1))


def test_no_tokens_no_days() -> None:
    found = campaign(TRAIN, step(), 32)
    assert (found.days, found.gpu_hours, found.goodput, found.failures_per_day) == (None, None, None, None)


def test_goodput_is_what_a_simulation_of_failures_keeps() -> None:
    """Exponential failures of 16,384 GPUs; work since the last checkpoint is lost, then comes a restart."""
    failing_s, checkpoint_s, restart_s = LLAMA3_MTBF_S / 16384, 30.0, 600.0
    interval_s = best_interval_s(checkpoint_s, failing_s)
    rng = np.random.default_rng(0)
    running = rng.exponential(failing_s, 200_000)
    kept = np.floor(running / (interval_s + checkpoint_s)) * interval_s
    simulated = kept.sum() / (running + restart_s).sum()
    assert goodput(interval_s, checkpoint_s, restart_s, failing_s) == pytest.approx(simulated, rel=0.01)


def test_the_best_interval_is_the_best() -> None:
    failing_s = LLAMA3_MTBF_S / 16384
    best = best_interval_s(30, failing_s)
    around = [goodput(best * factor, 30, 600, failing_s) for factor in (0.5, 1, 2)]
    assert max(around) == around[1]
    assert (
        campaign(replace(TRAIN, gpu_mtbf_s=1e3, checkpoint_s=0), step(), 32).checkpoint_interval_s == step().step_time_s
    )


def test_a_cluster_that_fails_faster_than_it_checkpoints_keeps_nothing() -> None:
    found = campaign(replace(TRAIN, tokens=1e12, gpu_mtbf_s=60, checkpoint_interval_s=3600), step(), 32)
    assert (found.goodput, found.days) == (0.0, None)
