"""The plans of a space that every rule lets pass, that fit in memory and keep the limits; and how many each of these takes away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.checks import Check, check
from compiler.costs.arrays import Array
from compiler.costs.calibration import Calibration
from compiler.costs.many import Many
from compiler.costs.project import held, project, stepped
from compiler.costs.uncertainty import Uncertainty
from compiler.errors import CompilerError, Problem
from compiler.frameworks.adapter import Adapter, adapter
from compiler.frozen import dataclass
from compiler.invariants import registry
from compiler.passes import timed_by
from compiler.searches import costs
from compiler.searches.plans import Plans
from compiler.searches.rules import Asked, Rule
from compiler.searches.space import Space
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER

NEVER = ("compiler.invariants.units",)
"""Modules of rules that only warn."""

HELD = ("expert_grid",)
"""Rules that every plan of a space keeps: it takes ep and etp that divide a stage."""

CHEAPEST = {"workload.recompute": "full", "workload.micro_batch_size": 1, "workload.schedule": "1f1b"}
"""What takes the least memory of a training plan; where other keys are varied too, nobody knows before."""


@dataclass(frozen=True)
class Feasible:
    """`plans` with their `costs`, in no order. `considered` plans in all, of which each rule, and memory, `refused` so many first; `tight`: the
    plan that needs least memory of those that do not fit, with its bytes; `last`: plans that some stage of the search left none of;
    `left_out`: of several spaces the words of those that have no plan, with why.
    """

    plans: Plans
    costs: dict[str, Array]
    considered: int
    refused: dict[str, int]
    tight: tuple[Plans, float] | None = None
    last: Plans | None = None
    raised: CompilerError | None = None
    left_out: tuple[tuple[str, Problem], ...] = ()


def rules(config: Config, varied: Collection[str] = ()) -> list[Rule]:
    """Every declared rule, the framework's own last, and whether the two grids agree, for a space with these keys `varied`."""
    found = [rule for rule in registry.declared.rules() if rule.__module__ not in NEVER and rule.__name__ not in HELD]
    found.sort(key=lambda rule: rule.__module__.endswith(".framework"))
    own = type(adapter(config.framework.name)).grids is Adapter.grids
    usual = config.parallel.order == DEFAULT_ORDER and "parallel.order" not in varied
    return found if own and usual else [*found, _agree]


def _agree(config: Config) -> Iterator[Check]:
    """The rule grids-agree of ranks that are laid out, from the grids alone."""
    if not config.model.moe or not config.degrees.factors:
        return
    attention, expert = adapter(config.framework.name).grids(config)
    same = attention.strides("pp") == expert.strides("pp")
    yield check("grids-agree", holds=same, observed="", limit="equal", message="", fix="")


def feasible(space: Space, tell: Callable[[float], None] = lambda _part: None) -> Feasible:
    """Those of a space; `tell` hears what part of them is costed."""
    asked, combinations = Asked(space), len(space.combinations())
    plans, more = space.grids(), rules(space.config, space.vary)
    before, each = plans, space.stagings(plans) * combinations
    known: dict[str, Any] = {"considered": int(each.sum()), "refused": asked.refused}
    plans, more = asked.passing(plans, more, each)
    if len(plans):
        before, plans = plans, space.staged(plans)
        plans, more = asked.passing(plans, more, combinations)
    uncertain = timed_by(space.config)[1]
    tight = None
    if len(plans) and space.config.workload.train and space.varied() and {*dict(space.varied())} <= {*CHEAPEST}:
        small = cheapest(space)
        fits, tight = _fits(small, plans, costs.every(small, plans, held), uncertain, asked, combinations)
        before, plans = plans, plans.take(fits)
    for key, values in space.varied():
        if len(plans):
            combinations //= len(values)
            before, plans = plans, plans.times(key, values)
            plans, more = asked.passing(plans, more, combinations)
    if not len(plans):
        return Feasible(plans, {}, **known, tight=tight, last=before, raised=asked.raised)
    plans, found, near = _costed(space, plans, asked, uncertain, tell)
    tight = min((one for one in (tight, near) if one), key=lambda one: one[1], default=None)
    if not len(plans):
        return Feasible(plans, {}, **known, tight=tight, last=before)
    good = np.isfinite(found["step_time_s" if space.config.workload.train else "requests_per_s"])
    if not good.all():
        asked.refused["no-time"] = int((~good).sum())
    kept = {key: values[good] for key, values in found.items()}
    return Feasible(plans.take(good), kept, **known, tight=tight, last=before)


def _costed(
    space: Space, plans: Plans, asked: Asked, uncertain: Uncertainty, tell: Callable[[float], None]
) -> tuple[Plans, dict[str, Array], Tight | None]:
    """Those that fit, with their costs, and the one that needs least of the others. Those that train are timed once they fit."""
    timed, train = _timed(), space.config.workload.train

    def first(config: Config, many: Many) -> Mapping[str, Array]:
        return held(config, many) if train else project(config, many, timed(config))

    found = costs.every(space, plans, first, lambda part: tell(part / 2 if train else part))
    fits, near = _fits(space, plans, found, uncertain, asked, 1)
    plans, found = plans.take(fits), {key: values[fits] for key, values in found.items()}
    if train:
        found |= costs.every(
            space,
            plans,
            lambda config, many: stepped(config, many, timed(config)),
            lambda part: tell((1 + part) / 2),
            costs.merged,
        )
    return plans, found, near


def _timed() -> Callable[[Config], Calibration]:
    """Curves and constants of each precision, the one key that is varied and that these hang on."""
    curves: dict[str, Calibration] = {}

    def timed(config: Config) -> Calibration:
        precision = str(config.workload.precision)
        if precision not in curves:
            curves[precision] = timed_by(config)[0]
        return curves[precision]

    return timed


def cheapest(space: Space) -> Space:
    """With what takes the least memory in the place of what is varied."""
    config = space.config
    for key, value in CHEAPEST.items():
        if key in space.vary:
            least = min(space.vary[key]) if key.endswith("size") else value
            config = costs.placed(config, key, least)
    return replace(space, config=config)


Tight = tuple[Plans, float]
"""A plan, and the bytes that it needs."""


def _fits(
    space: Space, plans: Plans, found: dict[str, Array], known: Uncertainty, asked: Asked, each: int
) -> tuple[NDArray[np.bool_], Tight | None]:
    """Which of them fit, and the one that needs least of the others."""
    used = bytes_of(space.config, found, known)
    fits = used <= space.config.hardware.gpu.memory_bytes
    missing = int((~fits).sum())
    if not missing:
        return fits, None
    asked.refused["memory"] = asked.refused.get("memory", 0) + missing * each
    at = int(np.argmin(np.where(fits | np.isnan(used), np.inf, used)))
    return fits, (plans.take([at]), float(used[at]))


def bytes_of(config: Config, found: dict[str, Array], known: Uncertainty) -> Array:
    """Bytes that must fit: the estimate, or the upper end of its interval; inf where a server has no room for one request."""
    used, least = found["memory_bytes"], found["least_bytes"]
    if config.search.fits == "surely":
        factor = known.around("memory", 1.0)[1] or 1.0
        capacity = config.hardware.gpu.memory_bytes
        train = config.workload.train
        used = used * factor if train else np.maximum(np.minimum(used * factor, capacity), least * factor)
    return np.where(np.isinf(least), np.inf, used)
