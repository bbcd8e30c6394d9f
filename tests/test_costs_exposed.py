"""Collectives that overlap show where the computation beside them is shorter."""

from __future__ import annotations

import pytest

from compiler.costs.arrays import array
from compiler.costs.exposed import Timed, pass_seconds
from compiler.costs.links import Reach
from compiler.costs.traffic import Flow


def flow(kind: str, overlapped: bool, seconds_each: float) -> Timed:
    one = array([1.0, 2.0])
    return Timed(
        Flow(kind, "all_gather", "", one, one, 2 * one, one, overlapped), Reach(kind, 2, "leaf", 2), array(seconds_each)
    )


@pytest.mark.parametrize(
    ("flows", "ahead", "back"),
    [
        ([flow("tp", False, 3.0)], [3, 6], [6, 12]),
        ([flow("cp", True, 3.0)], [2, 5], [5, 11]),  # behind the attention core's second
        ([flow("edp", True, 3.0)], [0, 0], [0, 2]),  # behind the ten seconds of computation
        ([flow("tp", False, 3.0), flow("edp", True, 9.0)], [3, 14], [14, 38]),
    ],
)
def test_overlapped_collectives_show_where_computation_is_shorter(
    flows: list[Timed], ahead: list[float], back: list[float]
) -> None:
    compute, attention = array([10.0, 10.0]), array([1.0, 1.0])
    assert pass_seconds(flows, compute, attention, backward=False).tolist() == ahead
    assert pass_seconds(flows, compute, attention, backward=True).tolist() == back
