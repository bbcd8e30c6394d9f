"""Prefill and decode on servers of their own: the space of each pool, and the pairs of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import array
from compiler.errors import InvariantError, Problem
from compiler.pools import pool_config
from compiler.searches import limits, none_fits, pairs
from compiler.searches.beside import BATCH, PREFILL
from compiler.searches.brought import brought
from compiler.searches.feasible import Feasible, feasible
from compiler.searches.larger import larger
from compiler.searches.matched import matched
from compiler.searches.none_fits import Again
from compiler.searches.order import Figures
from compiler.searches.pairs import Best, Pairs
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, Space
from compiler.specs.workload import ROLES

FIGURES = tuple(item.name for item in fields(Figures))


def of_role(space: Space, role: str) -> Space:
    """One instance of a pool; `space` is that of both."""
    config = space.config
    own = replace(pool_config(config, role), name="plan", hardware=config.hardware, parallel=config.parallel)
    vary = {key: values for key, values in space.vary.items() if role == "decode" or key != BATCH}
    return Space(own, space.fixed, vary, space.gpus)


def compared(space: Space, again: Again, tell: Callable[[float], None]) -> tuple[Feasible, Figures]:
    """Every pair that rules and limits let pass, with the instances that are best. Raises InvariantError where there is none."""
    fill = _pool(space, ROLES[0], again, lambda part: tell(part / 4))
    step = _pool(space, ROLES[1], again, lambda part: tell((1 + part) / 4))
    allowed, refused = matched(fill, step)
    found = pairs.best(brought(fill, step), allowed, lambda part: tell((1 + part) / 2))
    if not found.pairs.fill:
        raise InvariantError([_none(fill, step, found, allowed, refused)])
    return _kept(fill[1], step[1], found, refused)


def _pool(space: Space, role: str, again: Again, tell: Callable[[float], None]) -> tuple[Space, Feasible]:
    own = of_role(space, role)
    found = feasible(own, tell)
    if not len(found.plans):
        error = none_fits.error(own, found, lambda overrides, out: of_role(again(overrides, out), role))
        raise type(error)(problem.of(role) for problem in error.problems)
    return own, found


def _kept(fill: Feasible, step: Feasible, found: Best, refused: dict[str, int]) -> tuple[Feasible, Figures]:
    """The pairs as plans, with how many each rule and limit takes away."""
    gone = {f"prefill.{name}": number * step.considered for name, number in fill.refused.items()}
    gone |= {f"decode.{name}": number * len(fill.plans) for name, number in step.refused.items()}
    gone |= refused | found.refused
    tight = min((one for one in (fill.tight, step.tight) if one), key=lambda one: one[1], default=None)
    plans, figures = _plans(fill, step, found.pairs)
    return Feasible(plans, {}, fill.considered * step.considered, gone, tight), figures


def _plans(fill: Feasible, step: Feasible, found: Pairs) -> tuple[Plans, Figures]:
    """Those that decode, with those that prefill beside them."""
    first, other = fill.plans.take(np.concatenate(found.fill)), step.plans.take(np.concatenate(found.step))
    chosen = {**other.chosen, **{name: first.chosen[key] for key, name in PREFILL.items() if key != INSTANCES}}
    for key, name in ((PREFILL[INSTANCES], "prefill"), (INSTANCES, "decode"), (NODES, "nodes")):
        chosen[key] = np.concatenate([getattr(each, name) for each in found.counts]).astype(np.int32)
    figures = Figures(**{name: np.concatenate([getattr(each, name) for each in found.figures]) for name in FIGURES})
    return Plans(chosen, other.values), figures


def _none(
    fill: tuple[Space, Feasible],
    step: tuple[Space, Feasible],
    found: Best,
    allowed: NDArray[np.bool_],
    refused: Mapping[str, int],
) -> Problem:
    """Why no pair is left: limits, the load, the rules between pools, or the cluster's size."""
    space, both = step[0], (fill[1], step[1])
    if found.near.fill:
        seated = sum(count for name, count in found.refused.items() if name != NODES)
        return _missed(space, *_plans(*both, found.near), seated)
    if not allowed.any():
        return Problem(
            f"search.pools: no plan that prefills goes with one that decodes: {', '.join(refused)} refuse all of them",
            "write search.pools=together",
        )
    first, second = (each.plans.column("world_size") for each in both)
    nodes = np.add.outer(*(-(-sizes // space.config.hardware.node.gpus) for sizes in (first, second)))
    at, other = np.unravel_index(np.where(allowed, nodes, nodes.max() + 1).argmin(), nodes.shape)
    wider = larger(space, int(nodes[at, other]))
    return Problem(
        f"search.pools: the smallest servers that go together take {first[at]} GPUs to prefill and {second[other]} to decode, and there are "
        f"{space.gpus}",
        f"write {wider}, or search.pools=together" if wider else "write search.pools=together",
    )


def _missed(space: Space, plans: Plans, whole: Figures, count: int) -> Problem:
    """Of `count` pairs the nearest ones: they miss a limit, or where they keep all of them the load."""
    load, keeps = space.config.search.requests_per_s, limits.far(space.config, whole) <= 1
    if load is None or not keeps.any():
        return limits.missed(space, plans, whole, count)
    enough = np.ceil(load / whole.requests_per_s) * array(plans.chosen[NODES])  # so many times the same pair
    return limits.beyond(space, load, whole.take(keeps), enough[keeps])
