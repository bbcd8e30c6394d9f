"""The first plans of an order, timed as plans of their own: schedules of a few are replayed, not of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.total import cost
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.pools import pool_config
from compiler.searches import beside
from compiler.searches.costs import alike
from compiler.searches.plans import Index, Plans
from compiler.searches.space import INSTANCES, NODES, Space
from compiler.specs.config import Config
from compiler.specs.workload import ROLES

CLOSED = 0.03
"""How far the closed form of a pipeline's waits may be from its replay, as a part of a step (tests/test_costs_replay.py)."""

MOST = 24
"""Plans that are replayed at most."""


@dataclass(frozen=True)
class Leader:
    """One of the first plans: what it chooses, and its projection as `plan.json` has it."""

    at: int
    config: Config
    projection: Mapping[str, Any]

    @property
    def step_time_s(self) -> float:
        return float(self.projection["train"]["step_time_s"])


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


def leaders(space: Space, plans: Plans, order: Index, step_time_s: Any, top: int) -> list[Leader]:
    """The first `top` of the order. In training the first are timed until no other one can be among them, and ordered again."""
    train, found = space.config.workload.train, list[Leader]()
    for place, at in enumerate(order.tolist()):
        if place >= max(top, MOST if train else top):
            break
        if train and place >= top:
            worst = sorted(one.step_time_s for one in found)[top - 1]
            if step_time_s[at] * (1 - CLOSED) > worst:
                break
        config = configured(space, plans, at)
        found.append(Leader(at, config, _projection(config)))
    if train:
        found.sort(key=lambda one: float(f"{one.step_time_s:.9g}"))
    return found


def _projection(config: Config) -> Mapping[str, Any]:
    """As `plan.json` has it."""
    if config.workload.pools is None:
        alone: Mapping[str, Any] = cost(lay_out(config), *timed_by(config)).to_dict()["projection"]
        return alone
    each = {role: _projection(pool_config(config, role))["serve"][role] for role in ROLES}
    return {"serve": each}


def reordered(order: Index, found: list[Leader]) -> Index:
    """The order with those that were timed in the order of their own times."""
    first = [one.at for one in found]
    return np.array([*first, *(at for at in order.tolist() if at not in set(first))], dtype=np.intp)
