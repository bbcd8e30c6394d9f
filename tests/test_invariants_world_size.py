"""Degrees are proposed that fill the cluster and suit the model."""

from __future__ import annotations

import re

import pytest

from compiler import InvariantError
from compiler.fixes.degrees import nearest
from compiler.passes import compile_config
from compiler.specs.degrees import resolve
from tests.command import degrees_of
from tests.configs import changed, composed
from tests.invariant_configs import STRATEGY


@pytest.mark.parametrize("nodes", [16, 96, 100, 250, 512])
def test_the_three_nearest_degrees_fill_the_cluster_and_suit_the_model(nodes: int) -> None:
    found = nearest(STRATEGY, nodes * 8)
    assert len({degrees.name for degrees in found}) == 3
    for degrees in found:
        assert degrees.world_size == nodes * 8
        assert degrees.factors
        assert 16 % degrees.tp == 16 % degrees.pp == 64 % degrees.ep == 0


def test_the_nearest_degrees_of_a_cluster_twice_as_large_change_one_factor() -> None:
    assert {degrees.name for degrees in nearest(STRATEGY, 2048)} <= {
        "ep16_tp4_pp4_dp8",
        "ep16_tp4_pp8_dp4",
        "ep16_tp8_pp4_dp4",
        "ep32_tp4_pp4_dp4",
    }
    assert nearest(STRATEGY, 1024)[0].name == "ep16_tp4_pp4_dp4"


@pytest.mark.parametrize(
    ("degrees", "nodes", "proposed"),
    [
        ("ep16_tp4_pp4_dp4", 48, ["ep16_tp2_pp4_dp3", "ep16_tp4_pp2_dp3", "ep8_tp4_pp4_dp3"]),
        ("ep16_tp4_pp4_dp4", 16, None),
        ("ep8_tp4_pp4_dp2", 128, None),
    ],
)
def test_the_degrees_proposed_for_a_cluster_fit_it(degrees: str, nodes: int, proposed: list[str] | None) -> None:
    base = changed(composed(), {"hardware.nodes": nodes, "workload.global_batch_size": 9216})
    base = changed(base, {"workload.sequence_lengths": [128]})
    with pytest.raises(InvariantError) as caught:
        compile_config(changed(base, {"parallel": degrees_of(degrees)}))
    (fix,) = [problem.instead for problem in caught.value.problems if "world-size" in problem.what]
    names = re.findall(r"parallel=(\S+)", fix)
    assert len(set(names)) == 3
    assert proposed is None or set(names) == set(proposed)
    assert re.findall(r"hardware\.nodes=(\d+)", fix) == [str(resolve(degrees_of(degrees), moe=True).world_size // 8)]
    for name in names:
        assert compile_config(changed(base, {"parallel": degrees_of(name)})).world_size == nodes * 8
