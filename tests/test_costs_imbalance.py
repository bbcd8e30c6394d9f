"""Uneven experts: a power law, or measured loads, reach memory and time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.api import compile_plan
from compiler.costs.case import busiest
from compiler.costs.imbalance import factor, measured, power_law
from compiler.errors import ConfigError, InvariantError
from compiler.layout.loads import read
from compiler.specs.config import Experts
from compiler.world import World
from tests.costed import cost
from tests.worlds import MIXTRAL, MOE_30B, QWEN_30B, SERVE, TRAIN, world

SKEWED = "layer,expert,load\n" + "".join(
    f"{layer},{expert},{8 if expert == 0 else 1}\n" for layer in range(32) for expert in range(8)
)


def loaded(text: str, degrees: str = "ep8") -> World:
    found = world(degrees, MIXTRAL, TRAIN)
    return replace(found, config=replace(found.config, experts=Experts(load=text)))


def test_a_power_law_has_its_mean_and_no_expert_gets_a_token_twice() -> None:
    loads = power_law(128, 8, 1.2)
    assert loads.mean() == pytest.approx(1)
    assert loads.max() <= 16 + 1e-9
    assert np.all(np.diff(loads) >= -1e-9)
    assert power_law(8, 2, 1.2).max() == pytest.approx(4)  # k of E experts: none more than E/k of the mean


@pytest.mark.parametrize(("exponent", "expected"), [(1.01, 1.61), (1.2, 1.94)])
def test_eight_ranks_wait_as_long_as_was_measured(exponent: float, expected: float) -> None:
    """AIConfigurator's tables, H100, 8,192 tokens, EP8: 2.32 and 2.80 ms for 1.44 ms balanced."""
    workload = replace(TRAIN, imbalance_exponent=exponent)
    assert factor(workload, QWEN_30B, 8) == pytest.approx(expected, rel=0.15)


def test_more_ranks_are_less_even_and_one_rank_is_even() -> None:
    found = [factor(replace(TRAIN, imbalance_exponent=1.2), QWEN_30B, ep) for ep in (1, 2, 8, 32)]
    assert found[0] == 1
    assert np.all(np.diff(found) > 0)


def test_measured_loads_follow_the_placement() -> None:
    found = read(SKEWED)
    alone = tuple(((i, i),) for i in range(8))
    pairs = tuple(((2 * i, 2 * i + 1),) for i in range(4))
    assert measured(found, alone, range(32)) == pytest.approx(8 / (15 / 8))
    assert measured(found, pairs, range(32)) == pytest.approx(9 / (15 / 4))
    spread = loaded(SKEWED, "ep4")
    assert busiest(spread.config, spread.experts) == pytest.approx(9 / (15 / 4))


def test_layers_are_averaged() -> None:
    even = "".join(f"1,{expert},5\n" for expert in range(8))
    found = read(SKEWED.split("1,0,")[0] + even)
    assert measured(found, tuple(((i, i),) for i in range(8)), [0, 1, 2]) == pytest.approx((8 / (15 / 8) + 1) / 2)


@pytest.mark.parametrize("workload", [TRAIN, SERVE])
def test_uneven_experts_reach_memory_and_time(workload: object) -> None:
    assert workload in (TRAIN, SERVE)
    chosen = TRAIN if workload is TRAIN else SERVE
    even, skewed = (
        cost(world("ep16_tp4_pp4_dp4", MOE_30B, replace(chosen, imbalance_exponent=x))) for x in (None, 1.2)
    )
    assert (skewed.memory.activations_bytes > even.memory.activations_bytes).all()
    times = [c.projection.step_time_s if c.projection else c.prefill[0].ttft_s for c in (even, skewed)]
    assert times[1] > times[0]


def test_loads_reach_the_step() -> None:
    even, skewed = cost(world("ep8", MIXTRAL, TRAIN)), cost(loaded(SKEWED))
    same = cost(world("ep8", MIXTRAL, replace(TRAIN, imbalance=8 / (15 / 8))))
    times = [found.projection.step_time_s for found in (even, skewed, same) if found.projection]
    assert times[0] < times[1] == pytest.approx(times[2])


def test_a_plan_reads_a_file_of_loads_by_content(tmp_path: Path) -> None:
    base = ["model=mixtral_8x7b", "parallel=ep8_tp4_pp4_dp2", "hardware.nodes=32", "~expect"]
    plans = []
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(SKEWED)
        plans.append(compile_plan([*base, f"experts.load={tmp_path / name}"]))
    assert plans[0].to_dict() == plans[1].to_dict()
    assert plans[0].to_dict()["experts"]["imbalance"] == pytest.approx(8 / (15 / 8))
    assert plans[0].fingerprint != compile_plan(base).fingerprint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layer,expert\n", "no column load"),
        ("layer,expert,load\n", "no rows"),
        ("layer,expert,load\n0,0,x\n", "line 2 is no layer, expert and load: 0,0,x"),
        ("layer,expert,load\n0,0,nan\n", "line 2 is no layer"),
        ("layer,expert,load\n0,0,1\n0,0,2\n", "expert 0 of layer 0 is listed twice"),
        ("layer,expert,load\n0,1,1\n", "lists 1 experts of layer 0, up to id 1"),
        ("layer,expert,load\n0,0,0\n", "no expert of layer 0 got a token"),
    ],
)
def test_a_bad_table_says_where(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(text)


def test_loads_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "loads.csv"
    path.write_text("layer,expert,load\n99,0,1\n99,1,3\n")
    with pytest.raises(InvariantError, match="has 2 experts a layer; mixtral_8x7b has 8, and none in layer 99"):
        compile_plan(
            ["model=mixtral_8x7b", "parallel=ep8_tp4_pp4_dp2", "hardware.nodes=32", "~expect", f"experts.load={path}"]
        )


def test_unevenness_is_said_once() -> None:
    with pytest.raises(InvariantError, match=r"workload.imbalance and workload.imbalance_exponent each say how uneven"):
        compile_plan(["workload.imbalance=1.2", "workload.imbalance_exponent=1.2"])


def test_a_table_that_is_not_there_is_said() -> None:
    with pytest.raises(
        ConfigError, match=r"experts.load=no.csv cannot be read: .* name a CSV file of layer,expert,load"
    ):
        compile_plan(["experts.load=no.csv"])


def test_a_table_is_read_once_and_cannot_be_changed() -> None:
    text = "layer,expert,load\n0,0,1\n0,1,3\n"
    found = read(text)
    assert read("".join(list(text))) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 9.0
