"""Rates of prefill and decode in pools of their own."""

from __future__ import annotations

import pytest

from compiler.costs.rates import rates, ratio

FILL = [{"sequence_length": 1000, "ttft_s": 2.0, "tokens_per_s_per_gpu": 4000.0}]
STEP = [{"context_length": 1000, "tpot_s": 0.02, "tokens_per_s_per_gpu": 100.0, "batch": 16}]


def test_rates_are_requests_less_what_uneven_arrivals_cost() -> None:
    found = next(rates(FILL, STEP, [None], (2, 3), (4, 8), 500))
    assert found.prefill_requests_per_s == pytest.approx(0.9 * 2 * 4 * 4000 / 1000)
    assert found.decode_requests_per_s == pytest.approx(0.92 * 3 * 8 * 100 / 500)
    assert (found.limited_by, found.requests_per_s) == ("decode", found.decode_requests_per_s)
    assert found.output_tokens_per_s_per_gpu == pytest.approx(found.requests_per_s * 500 / 32)
    assert found.matched_prefill_instances / found.matched_decode_instances == pytest.approx(0.1022, rel=0.02)


def test_prompts_that_all_instances_fill_count_before_a_batch_of_them() -> None:
    found = next(rates(FILL, STEP, [50.0], (2, 3), (4, 8), 500))
    assert found.prefill_requests_per_s == pytest.approx(0.9 * 50)


def test_a_longer_answer_needs_more_of_decode() -> None:
    short, long = (next(rates(FILL, STEP, [None], (1, 1), (8, 8), length)) for length in (10, 2000))
    assert (short.limited_by, long.limited_by) == ("prefill", "decode")
    assert short.matched_prefill_instances > short.matched_decode_instances
    assert long.matched_decode_instances > long.matched_prefill_instances


@pytest.mark.parametrize(
    ("wanted", "found"), [(0.5, (1, 2)), (3.0, (3, 1)), (1e6, (32, 1)), (1e-6, (1, 32)), (1.5, (3, 2))]
)
def test_ratios_are_of_few_instances(wanted: float, found: tuple[int, int]) -> None:
    assert ratio(wanted).as_integer_ratio() == found


def test_a_phase_without_a_time_has_no_rate() -> None:
    unknown = [{**FILL[0], "ttft_s": None, "tokens_per_s_per_gpu": None}]
    assert not list(rates(unknown, STEP, [None], (1, 1), (8, 8), 500))
