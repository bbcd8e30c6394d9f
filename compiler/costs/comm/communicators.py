"""Communicators that a rank makes: how many, the buffers they take, and how long making them takes at start.

A kind of groups whose traffic a plan has is one communicator on each rank (NCCL makes them at first use); groups of one rank,
and kinds without traffic, make none. One more spans the world.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.constants import BUFFERS_BYTES, COMMUNICATOR_RANK_S, COMMUNICATOR_S
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Communicators:
    """On one rank: `sizes` of its communicators by kind, the world's among them; seconds to make them one after another."""

    count: int
    sizes: Mapping[str, int]
    buffers_bytes: int
    startup_s: float


def sizes(case: Case) -> dict[str, Array]:
    """Ranks of each kind of groups that carries traffic, arrays of degrees."""
    found = {"tp": case.tp, "cp": case.cp, "pp": case.pp}
    if case.model.moe:
        found |= {"ep": case.ep, "etp": case.etp}
    if case.workload.train:
        found["dp_cp"] = case.adp * case.cp
        if case.model.moe:
            found["edp"] = case.edp
    return found


def extra_bytes(case: Case) -> Array:
    """Buffers of a rank's communicators beyond the usual one that is counted with the framework."""
    used = sum((array(size > 1) for size in sizes(case).values()), array(0))
    return np.asarray(case.buffer_bytes * np.maximum(1, used) - BUFFERS_BYTES)


def communicators(case: Case) -> Communicators:
    """Of one plan."""
    found = {kind: int(size) for kind, size in sizes(case).items() if size > 1}
    found["world"] = int(case.tp * case.cp * case.adp * case.pp)
    return Communicators(
        count=len(found),
        sizes=found,
        buffers_bytes=round(BUFFERS_BYTES + float(extra_bytes(case))),
        startup_s=sum(COMMUNICATOR_S + COMMUNICATOR_RANK_S * size for size in found.values()),
    )
