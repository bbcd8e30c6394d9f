"""Prefill and decode on servers of their own: the space of each pool, the rules that hold pools against each other, and their pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from compiler.checks import Status
from compiler.errors import InvariantError, Problem
from compiler.frameworks.adapter import adapter
from compiler.pools import pool_config
from compiler.searches import limits, none_fits, pairs
from compiler.searches.beside import BATCH, PREFILL
from compiler.searches.feasible import Feasible, feasible
from compiler.searches.order import Figures
from compiler.searches.pairs import Pairs
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, Space
from compiler.searches.watched import Watched
from compiler.specs.workload import ROLES

FIGURES = tuple(item.name for item in fields(Figures))


def of_role(space: Space, role: str) -> Space:
    """One instance of a pool; `space` is that of both."""
    config = space.config
    own = replace(pool_config(config, role), name="plan", hardware=config.hardware, parallel=config.parallel)
    vary = {key: values for key, values in space.vary.items() if role == "decode" or key != BATCH}
    return Space(own, space.fixed, vary, space.gpus)


def compared(space: Space, tell: Callable[[float], None] = lambda _part: None) -> tuple[Feasible, Figures]:
    """Every pair that rules and limits let pass, with the instances that are best. Raises InvariantError where there is none."""
    fill = _pool(of_role(space, ROLES[0]), ROLES[0], lambda part: tell(part / 4))
    step = _pool(of_role(space, ROLES[1]), ROLES[1], lambda part: tell((1 + part) / 4))
    allowed, refused = _allowed(fill, step)
    found = pairs.best(*pairs.pools(fill, step), allowed, lambda part: tell((1 + part) / 2))
    return _kept(fill[1], step, found, refused)


def _pool(space: Space, role: str, tell: Callable[[float], None]) -> tuple[Space, Feasible]:
    found = feasible(space, tell)
    if not len(found.plans):
        error = none_fits.error(space, found)
        raise type(error)(problem.of(role) for problem in error.problems)
    return space, found


def _allowed(fill: tuple[Space, Feasible], step: tuple[Space, Feasible]) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which pairs the framework's rules let pass, shape [prefill, decode], and how many each rule refuses: they are asked once for each
    two kinds that differ in what they read.
    """
    both, rules = (fill, step), adapter(fill[0].config.framework.name).between
    watched = [Watched(space.config, space.keys) for space, _ in both]
    keys: list[dict[str, None]] = [{}, {}]
    while True:
        kinds = [
            list(found.plans.kinds(np.arange(len(found.plans)), list(own)))
            for (_, found), own in zip(both, keys, strict=True)
        ]
        allowed, refused, known = (
            np.ones([len(found.plans) for _, found in both], dtype=bool),
            Counter[str](),
            [*map(len, keys)],
        )
        for first, second in product(*kinds):
            for one, (space, found), at in zip(watched, both, (first[0], second[0]), strict=True):
                one.point(space.point(found.plans, int(at)))
            failed = next(
                (each.id for each in rules(*(one.config for one in watched)) if each.status is Status.FAIL), None
            )
            for own, one, (_, found) in zip(keys, watched, both, strict=True):
                own.update(dict.fromkeys(found.plans.based(one.read)))
            if failed is not None:
                allowed[np.ix_(first, second)] = False
                refused[failed] += len(first) * len(second)
        if known == [*map(len, keys)]:
            return allowed, dict(refused)


def _kept(
    fill: Feasible, step: tuple[Space, Feasible], found: Pairs, refused: dict[str, int]
) -> tuple[Feasible, Figures]:
    """The pairs as plans: those that decode, with those that prefill beside them. Raises InvariantError where there is none."""
    space, second = step
    if not sum(map(len, found.fill)):
        raise InvariantError([_none(space, fill, second, found, refused)])
    at, beside = np.concatenate(found.step), np.concatenate(found.fill)
    count = [np.concatenate([getattr(each, name) for each in found.counts]) for name in ("prefill", "decode", "nodes")]
    first, other = fill.plans.take(beside), second.plans.take(at)
    chosen = {**other.chosen, **{name: first.chosen[key] for key, name in PREFILL.items() if key != INSTANCES}}
    for key, values in zip((PREFILL[INSTANCES], INSTANCES, NODES), count, strict=True):
        chosen[key] = values.astype(np.int32)
    gone = {f"prefill.{name}": number * second.considered for name, number in fill.refused.items()}
    gone |= {f"decode.{name}": number * len(fill.plans) for name, number in second.refused.items()}
    gone |= refused | {f"search.{name}": number for name, (number, _) in found.missed.items()}
    gone |= {"hardware.nodes": found.no_room} if found.no_room else {}
    tight = min((one for one in (fill.tight, second.tight) if one), key=lambda one: one[1], default=None)
    figures = Figures(**{name: np.concatenate([getattr(each, name) for each in found.figures]) for name in FIGURES})
    plans = Plans(chosen, other.values)
    return Feasible(plans, {}, fill.considered * second.considered, gone, tight, other), figures


def _none(space: Space, fill: Feasible, step: Feasible, found: Pairs, refused: Mapping[str, int]) -> Problem:
    """Why no pair is left: the last limit, the rules between pools, or the cluster's size."""
    if found.missed:
        name = list(found.missed)[-1]
        near = np.full(sum(number for number, _ in found.missed.values()), found.missed[name][1])
        return limits.missed(space, name, -near if name == "requests_per_s" else near)
    least = [int(each.plans.column("world_size").min()) for each in (fill, step)]
    if refused and sum(refused.values()) == len(fill.plans) * len(step.plans):
        return Problem(
            f"search.pools: no plan that prefills goes with one that decodes: {', '.join(refused)} refuse all of them",
            "write search.pools=together",
        )
    return Problem(
        f"search.pools: the smallest servers that prefill take {least[0]} GPUs and those that decode {least[1]}, and there are {space.gpus}",
        f"write hardware.nodes={-(-least[0] // space.config.hardware.node.gpus) - (-least[1] // space.config.hardware.node.gpus)}, or "
        "search.pools=together",
    )
