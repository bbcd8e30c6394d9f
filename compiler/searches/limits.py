"""Limits of what clients see, and the load to carry: which plans keep them, with how many instances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.share import split
from compiler.costs.arrays import Array
from compiler.errors import InvariantError, Problem
from compiler.searches.feasible import Feasible
from compiler.searches.order import Figures, figures, objective
from compiler.searches.space import INSTANCES, NODES, Space
from compiler.specs.config import Config
from compiler.words import number, seconds

SEEN = ("ttft_s", "tpot_s", "request_s")


def kept(space: Space, found: Feasible) -> tuple[Feasible, Figures]:
    """The plans that keep every limit and carry the load, with as many instances as the objective asks for. Raises InvariantError where
    none does.
    """
    config = space.config
    whole = figures(config, found.plans, found.costs)
    for name, limit in asked(config):
        values = seen(config, whole, name)
        good = values <= limit
        if not good.any():
            raise InvariantError([_missed(name, limit, values)])
        found, whole = taken(found, good, f"search.{name}"), whole.take(good)
    load = config.search.requests_per_s
    if load is not None:
        good = whole.requests_per_s >= load
        if not good.any():
            raise InvariantError([_beyond(space, load, whole.requests_per_s)])
        found = taken(found, good, "search.requests_per_s")
        if objective(config) == "gpus" and "instances" not in space.fixed:
            found = fewest(config, found, load)
        whole = figures(config, found.plans, found.costs)
    return found, whole


def asked(config: Config) -> Iterator[tuple[str, float]]:
    for name in SEEN:
        limit = getattr(config.search, name)
        if limit is not None:
            yield name, limit


def seen(config: Config, found: Figures, name: str) -> Array:
    """What clients see, at the plans' own load."""
    return found.request_s(config.workload.output_length) if name == "request_s" else np.asarray(getattr(found, name))


def taken(found: Feasible, good: NDArray[np.bool_], name: str) -> Feasible:
    """Those of `found`; the others are counted as refused by `name`."""
    refused = found.refused | ({name: int((~good).sum())} if not good.all() else {})
    kept_costs = {key: values[good] for key, values in found.costs.items()}
    return replace(found, plans=found.plans.take(good), costs=kept_costs, refused=refused)


def fewest(config: Config, found: Feasible, load: float) -> Feasible:
    """With no more instances, and nodes, than the load takes."""
    count = np.ceil(load / found.costs["requests_per_s"]).astype(np.int32)
    sizes = found.plans.column("world_size")
    own = {size: split(size, config.hardware.node.gpus) for size in set(sizes.tolist())}
    seats = np.array([own[size].seats for size in sizes.tolist()])
    nodes = np.array([own[size].nodes for size in sizes.tolist()])
    chosen = {**found.plans.chosen, INSTANCES: count, NODES: (-(-count // seats) * nodes).astype(np.int32)}
    return replace(found, plans=replace(found.plans, chosen=chosen))


def missed(space: Space, name: str, values: Array) -> Problem:
    """What a user reads where all of these miss a limit; of a load they are requests/s."""
    asked = float(getattr(space.config.search, name))
    return _beyond(space, asked, values) if name == "requests_per_s" else _missed(name, asked, values)


def _missed(name: str, limit: float, values: Array) -> Problem:
    least = float(np.nanmin(values)) if np.isfinite(values).any() else None
    words = {"ttft_s": "TTFT", "tpot_s": "TPOT", "request_s": "time of a request"}[name]
    if least is None:
        return Problem(f"search.{name}={limit:g}: no plan here has a projected {words}", f"leave search.{name} out")
    return Problem(
        f"search.{name}={limit:g}: of {len(values):,} plans that fit, the shortest {words} is {seconds(least)}, {least / limit:.3g} times the limit",
        f"write search.{name}={_above(least)}, or a smaller workload.output_length or prompts, or hardware that is faster",
    )


def _beyond(space: Space, load: float, values: Array) -> Problem:
    most, nodes = float(np.nanmax(values)), space.config.hardware.nodes
    limits = " within the limits" if any(asked(space.config)) else ""
    return Problem(
        f"search.requests_per_s={load:g}: {space.gpus} GPUs carry at most {number(most)} requests/s{limits}",
        f"write hardware.nodes={int(np.ceil(nodes * load / most))}, or search.requests_per_s={_below(most)}",
    )


def _above(value: float) -> str:
    """Two digits, rounded up."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return f"{np.ceil(value / step) * step:.2g}"


def _below(value: float) -> str:
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return f"{np.floor(value / step) * step:.2g}"
