"""The search itself: a configuration that leaves its degrees open -> the best plan of its cluster, and all that it was held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.errors import InvariantError
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.plan import Plan
from compiler.pools import compile_any
from compiler.searches import typed
from compiler.searches.compare import all_of, of_each
from compiler.searches.feasible import Feasible
from compiler.searches.leaders import Leader, leaders, replayed
from compiler.searches.opened import Load
from compiler.searches.order import Figures, objective, ordered, pareto
from compiler.searches.plans import Index, Plans
from compiler.searches.space import Space
from compiler.specs.config import Config

TRIES = 8
"""Leaders that are compiled until one passes what only a compile can tell."""


@dataclass(frozen=True)
class Found:
    """What a search found. `plans` and `figures` are of all that fit, the best first; `low` and `high`: the part of a rate that four of five
    measurements would lie between, nan where nobody knows. `winner`: the overrides that make the best plan; `leaders`: the best of each degrees.
    """

    space: Space
    asked: Feasible
    plans: Plans
    figures: Figures
    pareto: NDArray[np.bool_]
    low: Array
    high: Array
    leaders: tuple[Leader, ...]
    best: Plan
    winner: tuple[str, ...]
    name: str = "search"

    @cached_property
    def contents(self) -> Mapping[str, Any]:
        """What `summary.json` holds, to be read alone."""
        from compiler.searches.explain import document

        return document(self)

    def write(self, out: str | Path = "out") -> tuple[Path, Path]:
        """Write the best plan's folder, and `searches/<name>` beside it; return both paths. Raises WriteError."""
        from compiler.searches.write import write

        return write(self, out)

    @property
    def together(self) -> Found | None:
        """The same as servers that do both phases are held against it, and plans that train; None where there are none."""
        one = next((one for one in (self.space, *self.space.spaces) if one.config.workload.pools is None), None)
        return None if one is None else replace(self, space=replace(one, spaces=self.space.spaces))

    @property
    def objective(self) -> str:
        return objective(self.space.config)

    @property
    def tied(self) -> int:
        """Plans whose intervals overlap the best one's, that one among them."""
        if np.isnan(self.low[0]):
            return 1
        rate = self.figures.tokens_per_s
        same = self.figures.gpus == self.figures.gpus[0] if self.objective == "gpus" else np.ones(len(rate), dtype=bool)
        return int((same & (rate * self.high >= rate[0] * self.low[0])).sum())


def searched(
    config: Config, given: Sequence[str], load: Load, tell: Callable[[float], None] = lambda _part: None
) -> Found:
    """The best plan; `given` are the overrides that were written, `tell` hears what part of all is costed. Raises InvariantError where none
    is left, with what binds and what would fit, and ConfigError.
    """
    space, found, figures = all_of(config, given, load, tell)
    order, figures = replayed(space, found.plans, ordered(space.config, found.plans, figures), figures)
    best, winner, gone = _compiled(space, found.plans, order, given, load)
    order = order[gone:]
    figures, plans = figures.take(order), found.plans.take(order)
    low, high = of_each(space, plans, interval)
    return Found(
        replace(space.of(plans, 0), spaces=space.spaces),
        replace(found, refused=found.refused | {"compile": gone}) if gone else found,
        plans,
        figures,
        pareto(space.config, figures),
        low,
        high,
        leaders(space, plans, config.search.top),
        best,
        winner,
    )


def _compiled(
    space: Space, plans: Plans, order: Index, given: Sequence[str], load: Load
) -> tuple[Plan, tuple[str, ...], int]:
    """The first plan that compiles, as somebody would type it, and how many before it do not. Raises what the first one is refused with."""
    refused: InvariantError | None = None
    for gone, at in enumerate(order[:TRIES].tolist()):
        winner = typed.overrides(space, given, plans, at)
        try:
            return compile_any(load(winner)), tuple(winner), gone
        except InvariantError as error:
            refused = refused or error
    raise refused or InvariantError.of("no plan was found", "write the degrees")


def interval(config: Config) -> tuple[float, float]:
    """Parts of a rate that four of five measurements would lie between; nan where nobody knows."""
    low, high = timed_by(config)[1].around("step" if config.workload.train else "tpot", 1.0)
    return (np.nan, np.nan) if low is None or high is None else (1 / high, 1 / low)


COLUMNS = ("step_time_s", "ttft_s", "tpot_s", "requests_per_s", "tokens_per_s_per_gpu", "memory_bytes")


def framework(found: Found, at: int) -> dict[str, str]:
    """A plan's framework, where there are several."""
    names = {one.config.framework.name for one in found.space.spaces}
    return {"framework": found.space.of(found.plans, at).config.framework.name} if len(names) > 1 else {}


def row(found: Found, at: int) -> dict[str, Any]:
    """What a plan is and does, as `candidates.csv` has it; `at` is its place, from 0 on."""
    rate = float(found.figures.tokens_per_s_per_gpu[at])
    return {
        "rank": at + 1,
        "degrees": typed.name(found.space, found.plans, at),
        **framework(found, at),
        "gpus": int(found.figures.gpus[at]),
        "stages": found.space.stages(found.plans, at),
        **{name: found.plans.value(name, at) for name, _ in found.space.varied()},
        **{name: float(getattr(found.figures, name)[at]) for name in COLUMNS},
        "low": None if np.isnan(found.low[at]) else rate * float(found.low[at]),
        "high": None if np.isnan(found.high[at]) else rate * float(found.high[at]),
        "pareto": bool(found.pareto[at]),
    }
