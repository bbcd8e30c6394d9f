"""The first plans of an order: their projections, and their times as they are compiled, for which schedules of a few are replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.total import cost
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.pools import pool_config
from compiler.searches import beside
from compiler.searches.costs import alike
from compiler.searches.order import Figures, ordered, scores
from compiler.searches.plans import Index, Plans
from compiler.searches.space import INSTANCES, NODES, SPACE, Space
from compiler.specs.config import Config
from compiler.specs.workload import ROLES

CLOSED = 0.07
"""How far the closed form of a pipeline's waits may be from its replay, as a part of a step: 2 % where stages are nearly even
(tests/test_costs_replay.py), 6 % where layers are not (200 random searches), or a head or first dense layers are.
"""

MOST = 24
"""Plans that are replayed at most."""

GRIDS = ("tp", "cp", "pp", "adp", "ep", "etp")
"""Degrees; plans that agree on them differ in what is varied beside them."""


@dataclass(frozen=True)
class Leader:
    """The best plan of its degrees: its place from 0 on, and its projection as `plan.json` has it."""

    at: int
    projection: Mapping[str, Any]


def configured(space: Space, plans: Plans, at: int) -> Config:
    """The configuration of one plan."""
    space, one = space.of(plans, at), plans.take([at])
    if beside.paired(plans, at):
        return beside.configured(space, plans, at)
    _, config, many = next(alike(space, one))
    found = many.config(config, 0)
    return replace(
        found,
        framework=replace(found.framework, instances=one.value(INSTANCES, 0)),
        hardware=replace(found.hardware, nodes=one.value(NODES, 0)),
    )


def leaders(space: Space, plans: Plans, top: int) -> tuple[Leader, ...]:
    """The best plan of each of the `top` best degrees, of plans that stand the best first; those of a framework or of pools are others."""
    keys = [key for key in (*GRIDS, *(beside.PREFILL[key] for key in GRIDS), SPACE) if key in plans.chosen]
    first = sorted(int(kind[0]) for kind in plans.kinds(np.arange(len(plans)), keys))[:top]
    return tuple(Leader(at, projection(configured(space, plans, at))) for at in first)


def projection(config: Config) -> Mapping[str, Any]:
    """As `plan.json` has it; of pools the phase that each serves."""
    if config.workload.pools is not None:
        return {"serve": {role: projection(pool_config(config, role))["serve"][role] for role in ROLES}}
    found: Mapping[str, Any] = cost(lay_out(config), *timed_by(config)).to_dict()["projection"]
    return found


def replayed(space: Space, plans: Plans, order: Index, found: Figures) -> tuple[Index, Figures]:
    """In training the first plans of an order are timed by themselves, until no other of them can be the best, and whichever is then
    first, and all are ordered again: the order, and figures with their times.
    """
    if not space.config.workload.train:
        return order, found
    times, best, known = found.step_time_s.copy(), np.inf, set[int]()
    hopes = scores(space.config, found.timed(times * (1 - CLOSED)))[0]
    for at in order[:MOST].tolist():
        if hopes[at] > best:
            break
        best = min(best, _replay(space, plans, found, times, at))
        known.add(at)
    while True:
        exact = found.timed(times)
        again = order[ordered(space.config, plans.take(order), exact.take(order))]
        first = int(again[0])
        if first in known:
            return again, exact
        _replay(space, plans, found, times, first)
        known.add(first)


def _replay(space: Space, plans: Plans, found: Figures, times: Array, at: int) -> float:
    """Put the time of one plan as it is compiled into `times`; what it scores by it."""
    times[at] = projection(configured(space, plans, at))["train"]["step_time_s"]
    one = np.array([at])
    return float(scores(space.config, found.take(one).timed(times[one]))[0][0])
