"""Ways to send tokens to experts: how many copies each makes, and which link they cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.rows.hardware import nominal
from compiler.costs.calibration import assumed_curves
from compiler.costs.case import case
from compiler.costs.comm.dispatch import Form, distinct, forms
from compiler.costs.comm.links import reach
from compiler.costs.work.forward import whole_sequences
from tests.costed import cost
from tests.worlds import DEEPSEEK_V3, LLAMA_8B, SERVE, TRAIN, world

ROUTED = replace(DEEPSEEK_V3, n_group=8, topk_group=4)


def of(degrees: str) -> dict[str, Form]:
    these = world(degrees, ROUTED, TRAIN, nominal("h800"))
    plan, gpu = case(these), assumed_curves(these.config.hardware)
    return {form.form: form for form in forms(plan, whole_sequences(plan, "train", 4096), reach(these, "ep"), gpu)}


@pytest.mark.parametrize(("things", "chosen", "parts"), [(256, 8, 64), (256, 8, 8), (64, 2, 16), (8, 2, 8)])
def test_distinct_is_what_drawing_gives(things: int, chosen: int, parts: int) -> None:
    rng = np.random.default_rng(0)
    draws = [len(set(rng.permutation(things)[:chosen] // (things // parts))) for _ in range(4000)]
    assert distinct(things, chosen, parts) == pytest.approx(np.mean(draws), rel=0.02)


def test_each_way_sends_less_over_the_network_than_the_one_before() -> None:
    found = of("ep64_etp1_adp64")
    sent = [found[name].network_bytes for name in ("naive", "deduplicated", "hierarchical", "node_limited")]
    assert sent == sorted(sent, reverse=True)
    assert len(set(sent)) == 4
    times = [found[name].seconds for name in ("naive", "hierarchical", "node_limited")]
    assert times == sorted(times, reverse=True)


def test_naive_is_a_copy_for_every_expert() -> None:
    found = of("ep64_etp1_adp64")["naive"]
    token = 4096 * 2 * 7168
    assert found.network_bytes == pytest.approx(8 * token * 56 / 64)
    assert found.domain_bytes == pytest.approx(8 * token * 7 / 64)


def test_a_limited_router_reaches_four_nodes_at_most() -> None:
    """DeepSeek-V3: 8 groups on 8 nodes, 4 chosen; 7 of 8 are other nodes."""
    assert of("ep64_etp1_adp64")["node_limited"].network_bytes == pytest.approx(4 * 7 / 8 * 4096 * 2 * 7168)


def test_within_a_domain_nothing_leaves_it() -> None:
    found = of("ep8_etp1_adp8")
    assert all(form.network_bytes == 0 for form in found.values())
    assert found["hierarchical"].domain_bytes == pytest.approx(found["deduplicated"].domain_bytes)


def test_a_plan_says_it_for_its_phases() -> None:
    serving = cost(world("ep64_etp1_adp64", ROUTED, SERVE, nominal("h800"))).to_dict()["dispatch"]
    assert [form["phase"] for form in serving] == ["prefill"] * 4 + ["decode"] * 4
    assert not cost(world("tp8", LLAMA_8B, SERVE)).to_dict()["dispatch"]
    assert not cost(world("dp8", ROUTED, TRAIN)).to_dict()["dispatch"]
