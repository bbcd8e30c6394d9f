"""Prompts and answers on the same ranks: what a plan prints of them is what rows are predicted by, and adds up."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.predict import predict
from benchmarks.rows.hardware import nominal
from compiler.costs.arrays import array
from compiler.costs.calibration import Calibration
from compiler.costs.constants import MOST_REQUESTS
from compiler.costs.engine import Demand
from compiler.costs.forward_pass import Pass
from compiler.costs.serve import Decode, Prefill
from compiler.costs.software import Engine
from compiler.costs.together import rough, steady
from compiler.speed import calibrated
from tests.costed import cost
from tests.served_rows import planned, times
from tests.worlds import DEEPSEEK_V3, LLAMA_70B, SERVE, world

H100 = nominal("h100_80gb")
FILL = [Prefill(1000, 2.0, 4000.0, None, None, {}, 1)]
STEP = [Decode(1000, 16, 0.02, 100.0, 1, None, None, {}, 1)]
ASKED = replace(SERVE, global_batch_size=20, output_length=500)


def both(degrees: str, **changes: Any) -> list[dict[str, Any]]:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None
    these = world(degrees, LLAMA_70B, replace(SERVE, **changes), H100)
    found = cost(these, Calibration(gpu)).to_dict()
    return list(found["projection"]["serve"]["aggregated"])


def test_by_the_phases_own_times_answers_wait_for_prompts() -> None:
    (found,) = rough(FILL, STEP, 8, ASKED)
    assert found.tpot_s == pytest.approx(0.02 + 2 / 500)
    assert found.requests_per_s == pytest.approx(16 / (2 + 500 * 0.02))
    assert found.output_tokens_per_s_per_gpu == pytest.approx(found.requests_per_s * 500 / 8)
    assert (found.batch, found.running, found.ttft_s) == (20, 16, None)


def test_a_phase_without_a_time_has_no_rate() -> None:
    assert not list(rough([replace(FILL[0], ttft_s=float("nan"))], STEP, 8, ASKED))
    assert not list(rough([], STEP, 8, ASKED))


def test_a_plan_prints_what_a_row_is_predicted_by(tmp_path: Path) -> None:
    """The record's own plan, by the constants of its engine."""
    asked = times(tmp_path, concurrency="64")
    (row,) = cost(*planned(asked["tpot"])).aggregated
    assert predict([asked["ttft"], asked["tpot"]]) == [pytest.approx(row.ttft_s), pytest.approx(row.tpot_s)]
    assert row.output_tokens_per_s_per_gpu == pytest.approx(row.requests_per_s * row.output_length / 8)


def test_rates_and_times_agree_at_every_length() -> None:
    found = both("tp8", global_batch_size=16, sequence_lengths=[128, 4096], output_length=256)
    assert [row["sequence_length"] for row in found] == [128, 4096]
    for row in found:
        assert row["running"] == row["batch"] == 16
        assert row["requests_per_s"] * (row["ttft_s"] + row["tpot_s"] * 255) == pytest.approx(16)
        assert row["output_tokens_per_s_per_gpu"] == pytest.approx(row["requests_per_s"] * 256 / 8)
        assert row["ttft_s"] > row["tpot_s"] > 0
    assert found[0]["ttft_s"] < found[1]["ttft_s"]


NUMBERS = np.random.default_rng(7)


def random_load() -> tuple[Demand, Engine, int, float]:
    """A server or pools with any work at all: what is asked of a rank, by an engine, its clients and its ranks."""

    def some(low: float, high: float) -> float:
        return float(np.exp(NUMBERS.uniform(np.log(low), np.log(high))))

    def work(size: float) -> Pass:
        seconds = {item.name: array(some(size / 30, size)) for item in fields(Pass)}
        return Pass(
            **seconds | {"launches": array(400.0), "others": array(300.0), "experts": array(0.0), "latent": array(0.0)}
        )

    ranks, clients = float(2 ** NUMBERS.integers(0, 6)), int(some(1, 5000))
    batch = clients / ranks
    running = max(1.0, min(batch, some(1, 1000)))
    apart = float(NUMBERS.integers(0, 2))
    numbers = {"grouped": some(1, 32), "steps": 1.0, "ranks": ranks, "batch": batch, "running": running, "apart": apart}
    numbers |= {"prompt_tokens": round(some(8, 1e5)), "output_tokens": round(some(1, 1e4)), "interval": some(1, 30)}
    numbers |= {"fillers": some(0.1, 10), "drafted": some(0.4, 1)}
    given: dict[str, Any] = {"decode": work(3e-3), "prompt": work(0.1), "group": work(1.0)}
    return Demand(**given | {name: array(value) for name, value in numbers.items()}), Engine(), clients, ranks


def test_clients_are_requests_a_second_times_their_time_on_any_server() -> None:
    """Little's law; and no more are answered than run at a time."""
    for _ in range(1000):
        load, by, clients, ranks = random_load()
        found = steady(load, by, clients, ranks, 8)
        assert found.ttft_s is not None
        answered = found.ttft_s + found.tpot_s * (found.output_length - 1)
        assert found.requests_per_s * answered == pytest.approx(clients, rel=1e-3)
        running = float(load.running) * ranks
        assert found.requests_per_s * (found.output_length - 1) * found.tpot_s <= running * (1 + 1e-9)
        assert found.output_tokens_per_s_per_gpu * 8 == pytest.approx(found.requests_per_s * found.output_length)


def test_clients_beyond_what_memory_holds_wait() -> None:
    few, many = (both("tp4", global_batch_size=n, sequence_lengths=[8192])[0] for n in (4, 4000))
    assert (few["running"], many["batch"]) == (4, 4000)
    assert many["running"] < MOST_REQUESTS
    assert many["ttft_s"] > 100 * few["ttft_s"]


def test_only_whole_batches_were_measured() -> None:
    assert both("tp8", two_batch_overlap=True)[0]["ttft_s"] is None
    assert both("tp8", role="prefill") == both("tp8", role="decode") == []


def test_drafts_and_attention_dp_reach_it() -> None:
    gpu = calibrated.gpu("h100_80gb")
    assert gpu is not None

    def tpot(**changes: Any) -> float:
        workload = replace(SERVE, global_batch_size=32, sequence_lengths=[1024], output_length=4096, **changes)
        return cost(world("ep32_etp1_adp32", DEEPSEEK_V3, workload, H100), Calibration(gpu)).aggregated[0].tpot_s

    assert tpot(draft_tokens=1, draft_acceptance=1.0) < tpot()
