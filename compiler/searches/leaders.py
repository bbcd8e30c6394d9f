"""The first plans of an order, timed as plans of their own: schedules of a few are replayed, not of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.total import cost
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.stage_rule import stage_layers
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.pools import pool_config
from compiler.searches import beside
from compiler.searches.costs import alike
from compiler.searches.order import Figures, ordered, scores
from compiler.searches.plans import Index, Plans
from compiler.searches.space import INSTANCES, NODES, SPACE, STAGES, Space
from compiler.specs.config import Config
from compiler.specs.workload import ROLES

CLOSED, UNEVEN = 0.02, 0.07
"""How far the closed form of a pipeline's waits may be from its replay, as a part of a step (tests/test_costs_replay.py): where all
stages hold as many layers, and where they do not.
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
    """In training the plans that may be the best are timed by themselves, until no other one can be, and all are ordered again: the order,
    and figures with their times.
    """
    if not space.config.workload.train:
        return order, found
    hopes = scores(space.config, found.timed(found.step_time_s * (1 - _slack(space, plans))))[0][order]
    times, best = found.step_time_s.copy(), np.inf
    for place in np.argsort(hopes, kind="stable")[:MOST].tolist():
        if hopes[place] > best:
            break
        at = order[place : place + 1]
        times[at] = projection(configured(space, plans, int(at[0])))["train"]["step_time_s"]
        best = min(best, float(scores(space.config, found.take(at).timed(times[at]))[0][0]))
    exact = found.timed(times)
    return order[ordered(space.config, plans.take(order), exact.take(order))], exact


def _slack(space: Space, plans: Plans) -> Array:
    """How far the closed form of each plan may be off."""
    found = np.full(len(plans), CLOSED)
    for index in plans.kinds(np.arange(len(plans)), ["pp", "vpp", STAGES]):
        if len(set(stage_layers(configured(space, plans, int(index[0]))) or ())) > 1:
            found[index] = UNEVEN
    return found
