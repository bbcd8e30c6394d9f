"""The search itself: a configuration that leaves its degrees open -> the best plan of its cluster, and all that it was held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.errors import InvariantError, Problem
from compiler.fixes.change import key
from compiler.fixes.pasted import changed
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.plan import Plan
from compiler.pools import compile_any
from compiler.searches import none_fits, typed, vary
from compiler.searches.feasible import Feasible, feasible
from compiler.searches.leaders import Leader, leaders, replayed
from compiler.searches.limits import CLIENTS, LOAD, kept
from compiler.searches.order import Figures, objective, ordered, pareto
from compiler.searches.plans import Index, Plans
from compiler.searches.space import Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel

Load = Callable[[Sequence[str]], Config]
"""Overrides -> the configuration that they make."""

TRIES = 8
"""Leaders that are compiled until one passes what only a compile can tell."""


@dataclass(frozen=True)
class Found:
    """What a search found. `plans` and `figures` are of all that fit, the best first; `low` and `high`: the part of a rate that four of five
    measurements would lie between. `winner`: the overrides that make the best plan; `leaders`: the first ones, with their projections.
    """

    space: Space
    asked: Feasible
    plans: Plans
    figures: Figures
    pareto: NDArray[np.bool_]
    low: float | None
    high: float | None
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
        """Write the best plan's folder, and `searches/<name>` beside it; return both paths. Raises WriteError and ConfigError."""
        from compiler.searches.write import write

        return write(self, out)

    @property
    def objective(self) -> str:
        return objective(self.space.config)

    @property
    def tied(self) -> int:
        """Plans whose intervals overlap the best one's, that one among them."""
        if self.low is None or self.high is None:
            return 1
        rate = self.figures.tokens_per_s
        same = self.figures.gpus == self.figures.gpus[0] if self.objective == "gpus" else np.ones(len(rate), dtype=bool)
        return int((same & (rate * self.high >= rate[0] * self.low)).sum())


def opened(config: Config, given: Sequence[str]) -> Space:
    """The space that a configuration leaves open; `given` are the overrides that were written. Raises ConfigError and InvariantError."""
    written = {key(item) for item in given}
    parallel, usual = config.parallel, Parallel()
    fixed = {
        name: value
        for name in (*DEGREES, "dp")
        if (value := getattr(parallel, name)) is not None
        and (f"parallel.{name}" in written or value != getattr(usual, name))
    }
    if "framework.instances" in written:
        fixed["instances"] = config.framework.instances
    varied = vary.varied(config, written | {f"parallel.{name}" for name in fixed})
    refuse(config)
    gpus = min(config.search.gpus or config.hardware.gpus, config.hardware.gpus)
    base = replace(config, name="plan", parallel=replace(parallel, dp=None, adp=None))
    if config.workload.train:
        node = config.hardware.node.gpus
        if gpus % node:
            raise InvariantError.of(
                f"search.gpus={gpus}: a training plan fills its nodes of {node} GPUs",
                f"write search.gpus={max(gpus // node, 1) * node}",
            )
    return Space(base, fixed, varied, gpus)


def refuse(config: Config) -> None:
    """Raises InvariantError for what a search has no use for."""
    search, problems = config.search, list[Problem]()
    if config.workload.pools is not None:
        problems.append(
            Problem("parallel=auto beside workload.pools: the degrees of pools are written", "leave workload.pools out")
        )
    if config.workload.train:
        problems += [
            Problem(
                f"search.{name} limits what clients see, and the plan trains",
                f"leave search.{name} out, or write workload=serve",
            )
            for name in (*CLIENTS, LOAD)
            if getattr(search, name) is not None
        ]
        if search.objective == "gpus":
            problems.append(
                Problem(
                    "search.objective=gpus wants a load, and the plan trains",
                    "write search.gpus=N for the most GPUs, or search.objective=throughput",
                )
            )
    if search.objective == "gpus" and search.requests_per_s is None and not config.workload.train:
        problems.append(Problem("search.objective=gpus has no load to carry", "write search.requests_per_s=N"))
    if search.pools != "together":
        problems.append(
            Problem(f"search.pools={search.pools}: servers apart are not searched for", "write search.pools=together")
        )
    if problems:
        raise InvariantError(problems)


def searched(config: Config, given: Sequence[str], load: Load) -> Found:
    """The best plan. Raises InvariantError where none is left, with what binds and what would fit, and ConfigError."""
    space = opened(config, given)
    found = feasible(space)
    if not len(found.plans):
        raise none_fits.error(space, found, partial(_again, given, load))
    found, figures = kept(space, found)
    order, figures = replayed(space, found.plans, ordered(space.config, found.plans, figures), figures)
    best, winner, gone = _compiled(space, found.plans, order, given, load)
    order, plans = order[gone:], found.plans.take(order[gone:])
    low, high = interval(best.config)
    figures = figures.take(order)
    return Found(
        space,
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


def _again(given: Sequence[str], load: Load, overrides: Sequence[str], out: Sequence[str]) -> Space:
    """What other overrides leave open, without some keys."""
    own = changed([item for item in given if key(item) not in out], tuple(overrides))
    return opened(load(own), own)


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


def interval(config: Config) -> tuple[float | None, float | None]:
    """Parts of a rate that four of five measurements would lie between."""
    low, high = timed_by(config)[1].around("step" if config.workload.train else "tpot", 1.0)
    return (None, None) if low is None or high is None else (1 / high, 1 / low)


COLUMNS = ("step_time_s", "ttft_s", "tpot_s", "requests_per_s", "tokens_per_s_per_gpu", "memory_bytes")


def row(found: Found, at: int) -> dict[str, Any]:
    """What a plan is and does, as `candidates.csv` has it; `at` is its place, from 0 on."""
    rate = float(found.figures.tokens_per_s_per_gpu[at])
    return {
        "rank": at + 1,
        "degrees": typed.degrees(found.space, found.plans, at).name,
        "gpus": int(found.figures.gpus[at]),
        "stages": found.space.stages(found.plans, at),
        **{name: found.plans.value(name, at) for name, _ in found.space.varied()},
        **{name: float(getattr(found.figures, name)[at]) for name in COLUMNS},
        "low": None if found.low is None else rate * found.low,
        "high": None if found.high is None else rate * found.high,
        "pareto": bool(found.pareto[at]),
    }
