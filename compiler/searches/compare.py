"""What a search compares: the frameworks that are named, and servers that do both phases with pools of servers that do one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.errors import InvariantError, Problem
from compiler.searches import apart, none_fits
from compiler.searches.feasible import Feasible, feasible
from compiler.searches.limits import kept
from compiler.searches.none_fits import Again
from compiler.searches.opened import Load, again, spaces, word
from compiler.searches.order import Figures
from compiler.searches.plans import Plans
from compiler.searches.space import SPACE, Space
from compiler.specs.config import Config

Tell = Callable[[float], None]


def costed(space: Space, again: Again, tell: Tell) -> tuple[Feasible, Figures]:
    """What is feasible in one of them; `tell` hears what part of it is done. Raises InvariantError where nothing is, and ConfigError."""
    if space.config.workload.pools is not None:
        return apart.compared(space, again, tell)
    found = feasible(space, tell)
    if not len(found.plans):
        raise none_fits.error(space, found, again)
    return kept(space, found)


def all_of(config: Config, given: Sequence[str], load: Load, tell: Tell) -> tuple[Space, Feasible, Figures]:
    """Everything that is feasible in any space that a configuration leaves open, as one. Raises InvariantError where nothing is, and
    ConfigError.
    """
    each = list(spaces(config, given, load))
    if len(each) == 1:
        return (each[0], *costed(each[0], partial(again, given, load, each[0]), tell))
    found, left_out = list[tuple[int, Feasible, Figures]](), list[tuple[str, Problem]]()
    for at, space in enumerate(each):
        try:
            own = costed(space, partial(again, given, load, space), partial(_part, tell, at, len(each)))
        except InvariantError as error:
            left_out += [(word(space), problem) for problem in error.problems]
        else:
            found.append((at, *own))
    if not found:
        raise InvariantError(problem.of(name) for name, problem in left_out)
    plans = together([(at, one.plans) for at, one, _ in found])
    tight = min((one.tight for _, one, _ in found if one.tight), key=lambda one: one[1], default=None)
    considered, refused = sum(one.considered for _, one, _ in found), dict[str, int]()
    for _, one, _ in found:
        refused |= {name: refused.get(name, 0) + count for name, count in one.refused.items()}
    figures = {name: np.concatenate([vars(own)[name] for *_, own in found]) for name in vars(found[0][2])}
    all_found = Feasible(plans, {}, considered, refused, tight, left_out=tuple(left_out))
    return replace(each[0], spaces=tuple(each)), all_found, Figures(**figures)


def _part(tell: Tell, at: int, count: int, part: float) -> None:
    """Of one of several, as a part of them all."""
    tell((at + part) / count)


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
