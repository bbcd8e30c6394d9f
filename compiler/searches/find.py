"""The search itself: a configuration that leaves its degrees open -> the best plan of its cluster, and all that it was held against."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.errors import ConfigError, InvariantError, Problem
from compiler.frozen import dataclass
from compiler.passes import timed_by
from compiler.plan import Plan
from compiler.pools import compile_any
from compiler.searches import typed, vary
from compiler.searches.beside import BATCH
from compiler.searches.compare import Load, all_of, configured, of_each
from compiler.searches.feasible import Feasible
from compiler.searches.leaders import Leader, leaders, reordered
from compiler.searches.order import Figures, objective, ordered, pareto
from compiler.searches.plans import Plans
from compiler.searches.space import Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel

TRIES = 8
"""Leaders that are compiled until one passes what only a compile can tell."""


@dataclass(frozen=True)
class Found:
    """What a search found. `plans` and `figures` are of all that fit, the best first; `low` and `high`: the part of a rate that four of five
    measurements would lie between, nan where nobody knows. `winner`: the overrides that make the best plan; `leaders`: the first ones, with their projections.
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
        """Write the best plan's folder, and `searches/<name>` beside it; return both paths. Raises WriteError and ConfigError."""
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


def spaces(config: Config, given: Sequence[str], load: Load) -> Iterator[Space]:
    """All that are compared. Raises ConfigError and InvariantError."""
    refuse(config, given)
    for own, pooled in configured(config, given, load):
        space = opened(own, given)
        if config.search.pools != "apart":
            yield space
        if pooled is not None:
            yield replace(space, config=replace(pooled, name="plan", parallel=space.config.parallel))


def opened(config: Config, given: Sequence[str]) -> Space:
    """The space that a configuration leaves open; `given` are the overrides that were written. Raises ConfigError and InvariantError."""
    written = {item.partition("=")[0].lstrip("+~") for item in given}
    parallel, usual = config.parallel, Parallel()
    fixed = {
        name: value
        for name in (*DEGREES, "dp")
        if (value := getattr(parallel, name)) is not None
        and (f"parallel.{name}" in written or value != getattr(usual, name))
    }
    if "framework.instances" in written:
        fixed["instances"] = config.framework.instances
    gpus = min(config.search.gpus or config.hardware.gpus, config.hardware.gpus)
    base = replace(config, name="plan", parallel=replace(parallel, dp=None, adp=None))
    if config.workload.train:
        node = config.hardware.node.gpus
        if gpus % node and gpus > node:
            raise InvariantError.of(
                f"search.gpus={gpus}: a training plan fills its nodes of {node} GPUs",
                f"write search.gpus={gpus // node * node}",
            )
    return Space(base, fixed, vary.varied(config, written - {"parallel"}), gpus)


def refuse(config: Config, given: Sequence[str] = ()) -> None:
    """Raises InvariantError for what a search has no use for."""
    search, problems = config.search, list[Problem]()
    written = [item.partition("=")[0].lstrip("+") for item in given]
    if config.workload.pools is not None and (
        search.pools != "apart"
        or any(re.fullmatch(r"workload\.pools(\.\w+(\.parallel|\.instances)?)?", key) for key in written)
    ):
        problems.append(
            Problem(
                "parallel=auto beside workload.pools: the degrees of pools are written",
                "leave workload.pools out, or write search.pools=apart and no more of a pool than workload.pools.decode.args=[...]",
            )
        )
    if search.pools != "together":
        problems += _of_pools(config)
    if config.workload.train:
        for key in ("ttft_s", "tpot_s", "request_s", "requests_per_s"):
            if getattr(search, key) is not None:
                problems.append(
                    Problem(
                        f"search.{key} limits what clients see, and the plan trains",
                        f"leave search.{key} out, or write workload=serve",
                    )
                )
        if search.objective == "gpus":
            problems.append(
                Problem(
                    "search.objective=gpus wants a load, and the plan trains",
                    "write search.gpus=N for the most GPUs, or search.objective=throughput",
                )
            )
    if search.objective == "gpus" and search.requests_per_s is None and not config.workload.train:
        problems.append(Problem("search.objective=gpus has no load to carry", "write search.requests_per_s=N"))
    if problems:
        raise InvariantError(problems)


def _of_pools(config: Config) -> Iterator[Problem]:
    """What pools have no use for."""
    pools, framework, spares = f"search.pools={config.search.pools}", config.framework, config.launch.spare_nodes
    if config.workload.train:
        yield Problem(
            f"{pools}: prefill and decode are phases of serving, and the plan trains", "leave search.pools out"
        )
    if framework.instances != 1:
        what = f"{pools} beside framework.instances={framework.instances}, which is of neither pool"
        yield Problem(what, "leave framework.instances out, or write search.pools=together")
    if spares:
        yield Problem(
            f"{pools} beside launch.spare_nodes={spares}, which is of neither pool",
            "write launch.spare_nodes=0, or search.pools=together",
        )
    vary = config.search.vary
    others = [str(key) for key in ([vary] if isinstance(vary, str) else vary or ()) if key != BATCH]
    if others:
        yield Problem(
            f"{pools}: search.vary names {others[0]}, and of pools only {BATCH} is tried",
            f"leave {others[0]} out of search.vary, or write search.pools=together",
        )


def searched(
    config: Config, given: Sequence[str], load: Load, tell: Callable[[float], None] = lambda _part: None
) -> Found:
    """The best plan; `tell` hears what part of all is costed. Raises InvariantError where none is left, with what binds and what would fit, and ConfigError."""
    space, found, figures = all_of(list(spaces(config, given, load)), tell)
    order = ordered(space.config, found.plans, figures)
    first = leaders(space, found.plans, order, figures.step_time_s, config.search.top)
    best, winner, gone = _compiled(space, found.plans, first, given, load)
    first = [one for one in first if one.at not in gone]
    order = reordered(np.array([at for at in order.tolist() if at not in gone], dtype=np.intp), first)
    figures, plans = timed(space.config, figures.take(order), first), found.plans.take(order)
    low, high = of_each(space, plans, interval)
    return Found(
        replace(space.of(plans, 0), spaces=space.spaces),
        found if not gone else replace(found, refused=found.refused | {"compile": len(gone)}),
        plans,
        figures,
        pareto(space.config, figures),
        low,
        high,
        tuple(replace(one, at=place) for place, one in enumerate(first)),
        best,
        winner,
    )


def _compiled(
    space: Space, plans: Plans, first: Sequence[Leader], given: Sequence[str], load: Load
) -> tuple[Plan, tuple[str, ...], set[int]]:
    """The first leader that compiles, as somebody would type it, and those before it. Raises what the first one is refused with."""
    refused: InvariantError | None = None
    gone: set[int] = set()
    for one in first[:TRIES]:
        winner = typed.overrides(space, given, plans, one.at)
        try:
            return compile_any(load(winner)), tuple(winner), gone
        except ConfigError:
            raise
        except InvariantError as error:
            refused = refused or error
            gone.add(one.at)
    raise refused or InvariantError.of("no plan was found", "write the degrees")


def interval(config: Config) -> tuple[float, float]:
    """Parts of a rate that four of five measurements would lie between; nan where nobody knows."""
    low, high = timed_by(config)[1].around("step" if config.workload.train else "tpot", 1.0)
    return (np.nan, np.nan) if low is None or high is None else (1 / high, 1 / low)


def timed(config: Config, figures: Figures, first: Sequence[Leader]) -> Figures:
    """With the leaders' own step times."""
    if not config.workload.train:
        return figures
    steps, rates = figures.step_time_s.copy(), figures.tokens_per_s.copy()
    for place, one in enumerate(first):
        rates[place] *= steps[place] / one.step_time_s
        steps[place] = one.step_time_s
    return replace(figures, step_time_s=steps, tokens_per_s=rates)


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
        **{key: found.plans.value(key, at) for key, _ in found.space.varied()},
        **{name: float(getattr(found.figures, name)[at]) for name in COLUMNS},
        "low": None if np.isnan(found.low[at]) else rate * float(found.low[at]),
        "high": None if np.isnan(found.high[at]) else rate * float(found.high[at]),
        "pareto": bool(found.pareto[at]),
    }
