"""What a search compares: the frameworks that are named, and servers that do both phases with pools of servers that do one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.errors import InvariantError, Problem
from compiler.searches import apart, none_fits
from compiler.searches.feasible import Feasible, feasible
from compiler.searches.limits import kept
from compiler.searches.order import Figures
from compiler.searches.plans import Plans
from compiler.searches.space import SPACE, Space
from compiler.specs.config import Config
from compiler.specs.workload import ROLES

Load = Callable[[Sequence[str]], Config]
"""Overrides -> the configuration that they make."""

POOLS = tuple(f"workload.pools.{role}.instances=1" for role in ROLES)
"""What is loaded with the user's own overrides for a configuration of pools."""


def configured(config: Config, given: Sequence[str], load: Load) -> Iterator[tuple[Config, Config | None]]:
    """Of each framework its configuration, and that of its pools where servers apart are asked for."""
    names = config.search.frameworks
    for name in names or [config.framework.name]:
        own = [item for item in given if names and item.partition("=")[0].lstrip("+") not in ("framework", FRAMEWORKS)]
        own = [*own, f"framework={name}"] if names else list(given)
        pooled = load([*own, *POOLS]) if config.search.pools != "together" else None
        yield (load(own) if names else config), pooled


FRAMEWORKS = "search.frameworks"
Tell = Callable[[float], None]


def costed(space: Space, tell: Tell = lambda _part: None) -> tuple[Feasible, Figures]:
    """What is feasible in one of them; `tell` hears what part of it is done. Raises InvariantError where nothing is, and ConfigError."""
    if space.config.workload.pools is not None:
        return apart.compared(space, tell)
    found = feasible(space, tell)
    if not len(found.plans):
        raise none_fits.error(space, found)
    return kept(space, found)


def word(space: Space) -> str:
    """What tells it from the others."""
    pooled = space.config.workload.pools is not None
    return f"framework={space.config.framework.name} search.pools={'apart' if pooled else 'together'}"


def all_of(spaces: Sequence[Space], tell: Tell = lambda _part: None) -> tuple[Space, Feasible, Figures]:
    """Everything that is feasible in any of them, as one. Raises InvariantError where nothing is, and ConfigError."""
    if len(spaces) == 1:
        return (spaces[0], *costed(spaces[0], tell))
    found, problems = list[tuple[int, Feasible, Figures]](), list[Problem]()
    for at, space in enumerate(spaces):
        try:
            found.append((at, *costed(space, _part_of(tell, at, len(spaces)))))
        except InvariantError as error:
            problems += [problem.of(word(space)) for problem in error.problems]
    if not found:
        raise InvariantError(problems)
    plans = together([(at, one.plans) for at, one, _ in found])
    tight = min((one.tight for _, one, _ in found if one.tight), key=lambda one: one[1], default=None)
    considered, refused = sum(one.considered for _, one, _ in found), dict[str, int]()
    for _, one, _ in found:
        refused |= {name: refused.get(name, 0) + count for name, count in one.refused.items()}
    figures = {name: np.concatenate([vars(own)[name] for *_, own in found]) for name in vars(found[0][2])}
    return replace(spaces[0], spaces=tuple(spaces)), Feasible(plans, {}, considered, refused, tight), Figures(**figures)


def _part_of(tell: Tell, at: int, count: int) -> Tell:
    return lambda part: tell((at + part) / count)


def together(parts: Sequence[tuple[int, Plans]]) -> Plans:
    """Plans of several spaces as those of one: what a plan does not have is 0, and each has the number of its space."""
    values = {
        key: list(dict.fromkeys(value for _, own in parts for value in own.values.get(key, ())))
        for _, one in parts
        for key in one.values
    }
    chosen = {}
    for key in dict.fromkeys(key for _, own in parts for key in own.chosen):
        chosen[key] = np.concatenate([_column(own, key, values.get(key)) for _, own in parts])
    chosen[SPACE] = np.concatenate([np.full(len(own), at, dtype=np.int32) for at, own in parts])
    return Plans(chosen, values)


def _column(plans: Plans, key: str, values: list[Any] | None) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    if key not in plans.chosen:
        return np.zeros(len(plans), dtype=np.int32)
    if values is None:
        return plans.chosen[key]
    places = np.array([values.index(value) for value in plans.values[key]], dtype=np.int32)
    return places[plans.chosen[key]]


def of_each(space: Space, plans: Plans, values: Callable[[Config], tuple[float, ...]]) -> Array:
    """Numbers of each plan's configuration, shape [numbers, plans]."""
    each = np.array([values(one.config) for one in space.spaces or (space,)])
    return each[plans.chosen[SPACE] if space.spaces else np.zeros(len(plans), dtype=int)].T
