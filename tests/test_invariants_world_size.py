"""Degrees are proposed that fill the cluster and suit the model."""

from __future__ import annotations

import re

import pytest

from compiler.fixes.degrees import fuller, grown, nearest
from tests.invariant_configs import STRATEGY
from tests.pasted import pasted, refused


@pytest.mark.parametrize("nodes", [16, 96, 100, 250, 512])
def test_the_nearest_degrees_fill_the_cluster_and_suit_the_model(nodes: int) -> None:
    found = nearest(STRATEGY, nodes)[:20]
    assert len({target.degrees.name for target in found}) == 20
    for target in found:
        assert target.degrees.world_size == nodes * 8
        assert target.degrees.factors
        assert 16 % target.degrees.tp == 64 % target.degrees.ep == 0


def test_a_cluster_twice_as_large_is_filled_by_dp_first() -> None:
    assert nearest(STRATEGY, 256)[0].degrees.name == "ep16_tp4_pp4_dp8"
    assert nearest(STRATEGY, 128)[0].degrees == STRATEGY.degrees


def test_what_has_no_room_rules_out_what_has_no_more_shards() -> None:
    small, *_ = nearest(STRATEGY, 128)
    larger = list(grown(STRATEGY, 128))
    sizes = [target.nodes for target in larger]
    assert sizes == sorted(sizes)
    assert {256, 512, 1024, 2048, 4096} <= set(sizes)
    assert min(sizes) > 128
    assert all(target.nodes >= 700 for target in grown(STRATEGY, 128, 700 / 128))
    assert fuller(small, larger[0])
    assert not fuller(larger[0], small)


@pytest.mark.parametrize(
    ("degrees", "nodes", "proposed"),
    [("ep16_tp4_pp4_dp4", 48, None), ("ep16_tp4_pp4_dp4", 16, None), ("ep8_tp4_pp4_dp2", 128, "ep8_tp4_pp4_dp8")],
)
def test_the_degrees_proposed_for_a_cluster_compile(degrees: str, nodes: int, proposed: str | None) -> None:
    given = [f"parallel={degrees}", f"hardware.nodes={nodes}", "workload.global_batch_size=9216", "scheduler=[]"]
    given += ["workload.sequence_lengths=[128]"]
    (line,) = [line for line in refused(given) if "world-size" in line]
    names = re.findall(r"parallel=(\S+)", line)
    assert len(set(names)) >= 2
    assert proposed is None or names[0] == proposed
    for name in names:
        assert refused(pasted(given, [f"parallel={name}"])) == []


def test_ranks_as_many_as_gpus_that_do_not_fill_nodes() -> None:
    given = ["model=llama3_1_8b", "hardware=h100_80gb", "hardware.nodes=3", "parallel=tp2_dp3", "framework.instances=4"]
    (line,) = [line for line in refused([*given, "scheduler=[]"]) if "world-size" in line]
    assert " = 24 ranks on 4 nodes, at most 6 of 8 GPUs on each; the cluster has 3 nodes x 8 GPUs = 24 ; " in line
