"""Limits of what clients see, and the load to carry: which plans keep them, with how many instances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.share import split
from compiler.costs.arrays import Array
from compiler.errors import InvariantError, Problem
from compiler.searches import typed
from compiler.searches.feasible import Feasible
from compiler.searches.larger import larger
from compiler.searches.order import Figures, figures, objective
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, Space
from compiler.specs.config import Config
from compiler.words import number, seconds

CLIENTS = {"ttft_s": "TTFT", "tpot_s": "TPOT", "request_s": "time of a request"}
"""What clients see: limits of a search, and columns of its figures."""

LOAD = "requests_per_s"


def kept(space: Space, found: Feasible) -> tuple[Feasible, Figures]:
    """The plans that keep every limit and carry the load, with as many instances as the objective asks for. Raises InvariantError where
    none does.
    """
    config = space.config
    whole = figures(config, found.plans, found.costs)
    good, refused = np.ones(len(found.plans), dtype=bool), dict(found.refused)
    for name, limit in asked(config):
        bad = good & ~(getattr(whole, name) <= limit)
        refused |= {f"search.{name}": int(bad.sum())} if bad.any() else {}
        good &= ~bad
    if not good.any():
        raise InvariantError([missed(space, found.plans, whole, len(found.plans))])
    found, whole = taken(replace(found, refused=refused), good), whole.take(good)
    load = config.search.requests_per_s
    if load is None:
        return found, whole
    good = whole.requests_per_s >= load
    if not good.any():
        raise InvariantError([beyond(space, load, whole, carrying(config, found, load)[1])])
    found = taken(
        replace(found, refused=refused | ({f"search.{LOAD}": int((~good).sum())} if not good.all() else {})), good
    )
    if objective(config) == "gpus" and "instances" not in space.fixed:
        found = fewest(config, found, load)
    return found, figures(config, found.plans, found.costs)


def asked(config: Config) -> Iterator[tuple[str, float]]:
    """The limits of what clients see."""
    for name in CLIENTS:
        limit = getattr(config.search, name)
        if limit is not None:
            yield name, limit


def broken(config: Config, whole: Figures, at: int) -> dict[str, float]:
    """What clients of a plan see beyond the limits."""
    found = {name: (float(getattr(whole, name)[at]), limit) for name, limit in asked(config)}
    return {name: value for name, (value, limit) in found.items() if not value <= limit}


def taken(found: Feasible, good: NDArray[np.bool_]) -> Feasible:
    """Those of `found`."""
    return replace(
        found, plans=found.plans.take(good), costs={key: values[good] for key, values in found.costs.items()}
    )


def fewest(config: Config, found: Feasible, load: float) -> Feasible:
    """With no more instances, and nodes, than the load takes."""
    count, nodes = carrying(config, found, load)
    chosen = {**found.plans.chosen, INSTANCES: count.astype(np.int32), NODES: nodes.astype(np.int32)}
    return replace(found, plans=replace(found.plans, chosen=chosen))


def carrying(config: Config, found: Feasible, load: float) -> tuple[Array, Array]:
    """Instances of each plan that carry a load, and nodes that hold them."""
    count = np.ceil(load / found.costs[LOAD])
    sizes, index = np.unique(found.plans.column("world_size"), return_inverse=True)
    own = [split(int(size), config.hardware.node.gpus) for size in sizes]
    seats, nodes = (np.array([getattr(one, name) for one in own])[index] for name in ("seats", "nodes"))
    return count, np.ceil(count / seats) * nodes


def far(config: Config, whole: Figures) -> Array:
    """The most times that any limit goes into what clients see of a plan: at most 1 where it keeps them all, nan where nobody knows."""
    found = np.zeros(whole.ttft_s.shape)
    for name, limit in asked(config):
        found = np.maximum(found, getattr(whole, name) / limit)
    return found


def missed(space: Space, plans: Plans, whole: Figures, count: int) -> Problem:
    """Of `count` plans, these among them, the one that is nearest to all limits, and what it would take to let it pass."""
    limits, over_by = dict(asked(space.config)), far(space.config, whole)
    names = " ".join(f"search.{name}={limit:g}" for name, limit in limits.items())
    if not np.isfinite(over_by).any():
        return Problem(f"{names}: no plan here has a projected time", "leave the limits out")
    at = int(np.nanargmin(over_by))
    over = broken(space.config, whole, at)
    said = ", and ".join(
        f"a {CLIENTS[name]} of {seconds(value)}, {value / limits[name]:.3g} times the limit"
        for name, value in over.items()
    )
    fix = [f"search.{name}={rounded(value, np.ceil)}" for name, value in over.items()]
    load, carried = space.config.search.requests_per_s, float(whole.requests_per_s[at])
    if load is not None and carried < load:
        said += f", and carries {number(carried)} of {load:g} requests/s"
        fix.append(f"search.{LOAD}={rounded(carried, np.floor)}")
    return Problem(
        f"{names}: none of {count:,} plans that fit keeps {'it' if len(limits) == 1 else 'them together'}; the nearest, "
        f"{typed.name(space, plans, at)}, has {said}",
        f"write {' '.join(fix)}, or lessen workload.output_length or the prompts, or take faster hardware",
    )


def beyond(space: Space, load: float, whole: Figures, enough: Array) -> Problem:
    """What the cluster carries, and what would carry the load; `enough`: nodes on which each plan would."""
    most, nodes, fixes = float(np.nanmax(whole.requests_per_s)), float(np.nanmin(enough)), list[str]()
    wider = larger(space, int(nodes)) if nodes < 1e9 else ""
    if "instances" in space.fixed:
        what = f"framework.instances={space.fixed['instances']} carries"
        if nodes * space.config.hardware.node.gpus <= space.gpus:
            fixes.append("leave framework.instances out")
    else:
        what = f"{space.gpus} GPUs carry"
        fixes += [f"write {wider}"] if wider else []
    limits = " within the limits" if any(asked(space.config)) else ""
    fixes.append(f"write search.{LOAD}={rounded(most, np.floor)}")
    return Problem(f"search.{LOAD}={load:g}: {what} at most {number(most)} requests/s{limits}", ", or ".join(fixes))


def rounded(value: float, way: Callable[[float], float]) -> str:
    """Two digits, up or down."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return f"{way(value / step) * step:.2g}"
