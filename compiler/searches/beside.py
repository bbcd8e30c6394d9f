"""A pair of pools among plans: the one that decodes has the columns of any plan, and what prefills beside it columns of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, STAGES, Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees, Parallel
from compiler.specs.workload import ROLES, Pool, Pools

BATCH = "workload.global_batch_size"

PREFILL = {key: f"prefill.{key}" for key in (*DEGREES, STAGES, INSTANCES)}
"""Keys of a plan -> those of what prefills beside it, 0 where servers do both."""


def paired(plans: Plans, at: int) -> dict[str, Plans]:
    """The plan of each pool; nothing where servers do both."""
    if PREFILL["tp"] not in plans.chosen or not plans.chosen[PREFILL["tp"]][at]:
        return {}
    return {"prefill": Plans({key: plans.chosen[name] for key, name in PREFILL.items()}, {}), "decode": plans}


def pools(space: Space, plans: Plans, at: int) -> dict[str, Pool]:
    """The pools of a pair as a configuration has them; nothing where servers do both."""
    given, found = space.config.workload.pools, {}
    for role, own in paired(plans, at).items() if given is not None else ():
        degrees: dict[str, Any] = {name: int(own.chosen[name][at]) for name in DEGREES}
        base: Parallel = replace(space.config.parallel, dp=None, stages=space.stages(own, at), **degrees)
        batch = own.value(BATCH, at) if BATCH in own.chosen else given[role].global_batch_size
        found[role] = replace(
            given[role], parallel=base, instances=int(own.chosen[INSTANCES][at]), global_batch_size=batch
        )
    return found


def configured(space: Space, plans: Plans, at: int) -> Config:
    """The configuration of a pair."""
    config = space.config
    return replace(
        config,
        workload=replace(config.workload, pools=Pools(**pools(space, plans, at))),
        hardware=replace(config.hardware, nodes=plans.value(NODES, at)),
    )


def name(space: Space, plans: Plans, at: int) -> str:
    """As a plan's own name has it."""
    moe, found = space.config.model.moe, list[str]()
    for role, own in paired(plans, at).items():
        count = int(own.chosen[INSTANCES][at])
        degrees = Degrees(**{key: int(own.chosen[key][at]) for key in DEGREES}, moe=moe)
        found += [role, degrees.name, *[f"x{count}"] * (count > 1)]
    return "_".join(found)


def overrides(space: Space, plans: Plans, at: int) -> Iterator[tuple[str, object]]:
    """Keys and values that make the pools of a pair."""
    moe = space.config.model.moe
    for role in ROLES:
        pool, key = pools(space, plans, at)[role], f"workload.pools.{role}"
        degrees = Degrees(**{name: getattr(pool.parallel, name) for name in DEGREES}, moe=moe)
        yield f"{key}.parallel", degrees.name if pool.parallel.stages is None else _mapping(degrees, pool.parallel)
        yield f"{key}.instances", pool.instances
        if BATCH in plans.chosen and role == "decode":
            yield f"{key}.global_batch_size", pool.global_batch_size


def _mapping(degrees: Degrees, parallel: Parallel) -> str:
    """Degrees with layers of stages, which no name says."""
    layers = ",".join(map(str, parallel.stages or ()))
    sizes = ",".join(f"{name}:{getattr(degrees, name)}" for name in DEGREES)
    return f"{{{sizes},stages:[{layers}]}}"
