"""Communicators of a rank: those that carry traffic, their buffers in the memory of every stage, their time at start."""

from __future__ import annotations

import pytest

from compiler.api import compile_plan
from compiler.costs.case import case
from compiler.costs.comm.buffers import buffer_bytes
from compiler.costs.comm.communicators import communicators
from compiler.costs.constants import BUFFERS_BYTES
from compiler.costs.work.memory import allocated, memory
from compiler.costs.work.params import counts, totals
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from tests.costed import cost
from tests.pooled_plans import ON, pools
from tests.worlds import LLAMA_8B, MOE_30B, SERVE, TRAIN, world


@pytest.mark.parametrize(
    ("degrees", "model", "workload", "kinds"),
    [
        ("ep16_tp4_pp4_dp4", MOE_30B, SERVE, {"tp": 4, "pp": 4, "ep": 16, "etp": 4, "world": 1024}),
        (
            "ep16_tp4_pp4_dp4",
            MOE_30B,
            TRAIN,
            {"tp": 4, "pp": 4, "ep": 16, "etp": 4, "dp_cp": 64, "edp": 4, "world": 1024},
        ),
        ("tp8_adp4", LLAMA_8B, SERVE, {"tp": 8, "world": 32}),
        ("cp2_adp4", LLAMA_8B, TRAIN, {"cp": 2, "dp_cp": 8, "world": 8}),
        ("dp1", LLAMA_8B, SERVE, {"world": 1}),
    ],
)
def test_a_rank_makes_one_for_each_kind_with_traffic(
    degrees: str, model: Model, workload: Workload, kinds: dict[str, int]
) -> None:
    found = communicators(case(world(degrees, model, workload)))
    assert (found.sizes, found.count) == (kinds, len(kinds))


def test_they_are_those_of_the_plans_traffic() -> None:
    found = cost(world("ep16_tp4_pp4_dp4", MOE_30B, TRAIN)).to_dict()
    kinds = {row["kind"] for row in found["communication"]} - {"dp"} | {"dp_cp"}
    assert set(found["communicators"]["sizes"]) - {"world"} == kinds


def test_their_buffers_are_in_every_stage_but_not_the_allocators() -> None:
    plans = [case(world(degrees, LLAMA_8B, TRAIN)) for degrees in ("tp2_pp2", "tp2_pp2_dp2")]
    held = [counts(plan, totals(LLAMA_8B)) for plan in plans]
    few, many = (memory(plan, each).other_bytes for plan, each in zip(plans, held, strict=True))
    assert many - few == pytest.approx([BUFFERS_BYTES] * 2)
    outside = [memory(p, h).total_bytes - allocated(p, h) for p, h in zip(plans, held, strict=True)]
    assert outside[1] - outside[0] == pytest.approx([BUFFERS_BYTES] * 2)


PROTOCOLS = 4194304 + 524288 + 4915200
"""Bytes of a connection of NCCL's three protocols, Simple, LL and LL128."""


@pytest.mark.parametrize(
    ("environment", "times"),
    [
        ({}, 1),
        ({"NCCL_BUFFSIZE": "8388608"}, (PROTOCOLS + 4194304) / PROTOCOLS),
        ({"NCCL_BUFFSIZE": "x"}, 1),
        ({"NCCL_MAX_CTAS": "8"}, 8 / 24),
        ({"NCCL_MIN_NCHANNELS": "32"}, 32 / 24),
        ({"NCCL_MIN_NCHANNELS": "48", "NCCL_MAX_NCHANNELS": "12"}, 12 / 24),
        ({"NCCL_MIN_NCHANNELS": "4"}, 1),
        ({"NCCL_MIN_NCHANNELS": "1000"}, 64 / 24),
    ],
)
def test_buffers_follow_channels_and_their_sizes(environment: dict[str, str], times: float) -> None:
    assert buffer_bytes(environment) == pytest.approx(times * BUFFERS_BYTES)


def test_each_pool_has_the_buffers_of_its_own_environment() -> None:
    few, usual = pools(), pools("parallel: tp4, instances: 4, environment: {NCCL_MAX_NCHANNELS: 12}")
    found = [compile_plan([*ON, item]).parts["prefill"].to_dict()["communicators"] for item in (few, usual)]
    assert found[1]["buffers_bytes"] == pytest.approx(found[0]["buffers_bytes"] / 2)


def test_start_grows_with_ranks() -> None:
    """NVIDIA/nccl issue 534: 8 communicators of 8 ranks in 16.3 s, 32 of 32 ranks in 130 s."""
    small, large = (communicators(case(world(f"tp{n}", LLAMA_8B, SERVE))) for n in (8, 32))
    assert small.startup_s / small.count == pytest.approx(16.3 / 8, rel=0.3)
    assert large.startup_s / large.count == pytest.approx(130 / 32, rel=0.3)
