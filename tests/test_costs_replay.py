"""Schedules replayed operation by operation: against the papers' bubbles, and against the closed form that search uses."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.costs.arrays import array
from compiler.costs.pipeline import closed, replay
from compiler.costs.pipeline.orders import ORDERS, WEIGHT, Op
from compiler.frameworks.lifted import Source
from tests.wheels import wheel

PLANS = [
    ("1f1b", 4, 1, 8),
    ("1f1b", 8, 1, 4),
    ("1f1b", 16, 1, 200),
    ("interleaved", 4, 2, 8),
    ("interleaved", 8, 4, 64),
    ("zero_bubble", 8, 1, 32),
    ("dualpipe", 8, 1, 20),
    ("dualpipe", 16, 1, 64),
]


@pytest.mark.parametrize(("name", "pp", "vpp", "micro_batches"), PLANS)
def test_equal_stages_wait_as_the_papers_say_and_as_the_closed_form_says(
    name: str, pp: int, vpp: int, micro_batches: int
) -> None:
    """F = 1, B = 2, W = 1 (half of B): (pp-1)/vpp of F+B, a third of it (ZB1P), (pp/2-1)(F&B + B - 3W)."""
    forward, backward = np.ones(pp), 2 * np.ones(pp)
    found = replay.Pipeline(name, forward, backward, vpp, micro_batches).makespan()
    expected = 3 * (pp - 1) * {"zero_bubble": 1 / 3, "dualpipe": (pp - 2) / (3 * (pp - 1))}.get(name, 1 / vpp)
    assert found == pytest.approx(3 * micro_batches + expected)
    said = closed.bubble(name, forward, backward, array(vpp), array(micro_batches))
    assert float(said) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "pp", "vpp", "micro_batches"), PLANS)
def test_every_operation_runs_once_and_none_before_its_input(name: str, pp: int, vpp: int, micro_batches: int) -> None:
    orders = ORDERS[name](pp, vpp, micro_batches)
    assert orders is not None
    ops = [op for order in orders for slot in order for op in slot]
    assert len(set(ops)) == len(ops)
    forwards = {(op.micro_batch, op.stage) for op in ops if op.kind == "F"}
    backs = {(op.micro_batch, op.stage) for op in ops if op.kind in "BI"}
    assert forwards == backs == {(number, stage) for number in range(micro_batches) for stage in range(pp * vpp)}
    split = {(op.micro_batch, op.stage) for op in ops if op.kind == "I"}
    assert split == {(op.micro_batch, op.stage) for op in ops if op.kind == WEIGHT}


def random_stages(rng: np.random.Generator, name: str) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Stages that differ by up to 30 % either way (20 % under DualPipe, and four micro-batches a stage)."""
    pp, spread = int(rng.choice([2, 4, 8, 16])), 0.2 if name == "dualpipe" else 0.3
    vpp = int(rng.choice([2, 3, 4])) if name == "interleaved" else 1
    micro_batches = int(rng.integers(4 if name == "dualpipe" else 2, 17)) * pp
    forward = rng.uniform(1 - spread, 1 + spread, pp)
    return forward, 2 * forward, vpp, micro_batches


def test_the_closed_form_stays_within_two_per_cent_of_the_replay() -> None:
    """On 1,000 random uneven pipelines, 250 of each schedule."""
    rng, off = np.random.default_rng(0), {}
    for name in ("1f1b", "interleaved", "zero_bubble", "dualpipe"):
        errors = []
        for _ in range(250):
            forward, backward, vpp, count = random_stages(rng, name)
            end = replay.Pipeline(name, forward, backward, vpp, count).makespan()
            assert end is not None
            total = forward + backward
            slowest = (closed.mirrored(total) if name == "dualpipe" else total).max()
            said = closed.bubble(name, forward, backward, array(vpp), array(count))
            errors.append(abs((count * slowest + float(said)) / end - 1))
        off[name] = max(errors)
    assert all(error < 0.02 for error in off.values()), off


def test_many_plans_at_once_are_each_of_them() -> None:
    rng = np.random.default_rng(1)
    forward = rng.uniform(0.5, 2, (6, 4))
    vpp, count = array([1, 2, 4, 1, 2, 4]), array([8, 8, 16, 32, 64, 4])
    together = closed.bubble("interleaved", forward, 2 * forward, vpp, count)
    alone = [closed.bubble("interleaved", forward[i], 2 * forward[i], vpp[i], count[i]) for i in range(6)]
    assert together == pytest.approx(np.array(alone))


@pytest.mark.parametrize("name", ["1f1b", "zero_bubble", "dualpipe"])
def test_a_long_step_is_a_short_one_and_more_of_the_slowest_stage(name: str) -> None:
    """What is not replayed is what would have come out."""
    rng = np.random.default_rng(2)
    forward = rng.uniform(0.7, 1.3, 8)
    orders = ORDERS[name](8, 1, 300)
    assert orders is not None
    slots = replay.replay(orders, replay.Times(forward.tolist(), (2 * forward).tolist()), 8)
    assert slots is not None
    whole = max(rank[-1][1] for rank in slots)
    assert replay.Pipeline(name, forward, 2 * forward, 1, 300).makespan() == pytest.approx(whole, rel=2e-3)


def test_a_slow_last_stage_costs_less_than_its_share_of_the_sum() -> None:
    """The head makes the last stage slow; the others' waiting for it is not counted twice."""
    forward = np.array([1.0, 1.0, 1.0, 1.5])
    found = replay.Pipeline("1f1b", forward, 2 * forward, 1, 16).bubble()
    assert found == pytest.approx(9.0)
    assert replay.Pipeline("1f1b", forward[::-1], 2 * forward[::-1], 1, 16).bubble() < 7


def test_orders_that_wait_for_each_other_are_seen() -> None:
    stuck = [[(Op("B", 0, 0),), (Op("F", 0, 0),)]]
    assert replay.replay(stuck, replay.Times([1.0], [2.0]), 1) is None


@pytest.mark.parametrize(
    ("name", "pp", "vpp", "count"),
    [("interleaved", 4, 2, 6), ("dualpipe", 4, 1, 4), ("dualpipe", 3, 1, 12), ("zero_bubble", 4, 2, 8)],
)
def test_a_schedule_that_does_not_exist_is_costed_in_closed_form(name: str, pp: int, vpp: int, count: int) -> None:
    forward = np.ones(pp)
    assert replay.Pipeline(name, forward, 2 * forward, vpp, count).makespan() is None
    assert replay.Pipeline(name, forward, 2 * forward, vpp, count).bubble() > 0


@pytest.mark.parametrize(
    ("pp", "vpp", "count", "group"), [(4, 3, 10, 5), (4, 3, 5, 5), (4, 2, 22, 6), (2, 4, 12, 12), (4, 2, 8, 0)]
)
def test_groups_of_micro_batches_go_through_chunks_as_megatrons(pp: int, vpp: int, count: int, group: int) -> None:
    """Its table, and its forward passes before the first backward one (pipeline_parallel/schedules.py)."""
    source = Source("megatron", wheel("megatron_core", "0.19.2"))
    table = source.lift("core/pipeline_parallel/schedules.py", "get_schedule_table").get_schedule_table
    theirs = [(number, chunk) for number, chunk in table(count, vpp, group or pp)]
    orders = ORDERS["interleaved"](pp, vpp, count, group)
    assert orders is not None
    for rank, order in enumerate(orders):
        ahead = [(op.micro_batch, op.stage // pp) for slot in order for op in slot if op.kind == "F"]
        warm = next(at for at, slot in enumerate(order) if slot[0].kind != "F") - 1
        assert ahead == theirs
        assert warm + 1 == min((pp - rank - 1) * 2 + (vpp - 1) * (group or pp) + 1, count * vpp)


def test_a_last_group_that_is_smaller_than_the_stages_does_not_exist() -> None:
    assert ORDERS["interleaved"](4, 2, 7, 5) is None
    assert ORDERS["interleaved"](4, 2, 9, 5) is not None


def test_seconds_of_chunks_are_those_of_their_shares() -> None:
    """All of a rank's time in one chunk keeps the others waiting; equal shares are what is left unsaid."""
    forward = np.ones(4)
    equal = replay.Pipeline("interleaved", forward, 2 * forward, 2, 16).makespan()
    assert replay.Pipeline("interleaved", forward, 2 * forward, 2, 16, 0, [0.5] * 8).makespan() == pytest.approx(equal)
    last = replay.Pipeline(
        "interleaved", forward, 2 * forward, 2, 16, 0, [0.5] * 3 + [0.1] + [0.5] * 3 + [0.9]
    ).makespan()
    assert last is not None
    assert equal is not None
    assert last > equal
