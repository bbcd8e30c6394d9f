"""What a placement takes by the cost model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass  # noqa: TID251 - compared in order

import numpy as np

from compiler.layout.grid import Ranks
from compiler.placement.footprints import Footprints, Network
from compiler.placement.times import Far, Times

DIGITS = 9
"""Of a time that count when two placements are compared."""


@dataclass(frozen=True, order=True)
class Score:
    """`seconds` of a step, or of a prompt and its answer, in which the worst group of each kind counts; `communication_s` of all
    collectives, as the mean of each kind's groups: what decides between placements whose worst groups are alike.
    """

    seconds: float
    communication_s: float

    @property
    def rounded(self) -> tuple[float, float]:
        return float(f"{self.seconds:.{DIGITS}g}"), float(f"{self.communication_s:.{DIGITS}g}")


def scores(times: Times, each: Sequence[Footprints], network: Network) -> list[Score]:
    """Of placements in one order of axes; ids of `network` have the shape [placements, slots]."""
    count = len(network.leaf)
    mean, worst = np.zeros(count), dict[str, Ranks]()
    for one in each:
        span, domains = one.spans(network)
        mean += (times.of(one.kind)[span, domains] * one.count).sum(axis=-1) / one.count.sum()
        worst[one.kind] = span.max(axis=-1) * (one.size + 1) + domains.max(axis=-1)
    rows = np.stack(list(worst.values()), axis=1) if worst else np.zeros((count, 0), dtype=np.int64)
    different, index = np.unique(rows, axis=0, return_inverse=True)
    wholes = [
        times.whole({one.kind: _far(one, value) for one, value in zip(each, row, strict=True)})
        for row in different.tolist()
    ]
    return [Score(wholes[at], float(one)) for at, one in zip(index.ravel().tolist(), mean, strict=True)]


def _far(one: Footprints, code: int) -> Far:
    span, domains = divmod(code, one.size + 1)
    return span, domains
