"""What the upper `plan.json` of pools holds: each pool's headline, and the phases that each does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from compiler.costs.numbers import plain
from compiler.costs.rates import Rate, rates
from compiler.specs.workload import ROLES

if TYPE_CHECKING:
    from compiler.plan import Plan

SCHEMA = "rankplan.pools/1"
SHOWN = ("name", "fingerprint", "world_size", "instances", "degrees", "params", "memory")


def document(plan: Plan) -> dict[str, Any]:
    """All but name and fingerprint, checks and claims."""
    contents = {role: part.contents for role, part in plan.parts.items()}
    phases = {role: found["projection"]["serve"][role] for role, found in contents.items()}
    return {
        "schema": SCHEMA,
        "ranks": sum(part.world_size * part.world.instances for part in plan.parts.values()),
        "pools": {role: _headline(role, plan.parts[role], found) for role, found in contents.items()},
        "projection": {"serve": phases},
        "served": [plain(vars(row)) for row in plan.served],
        "rates": [vars(rate) for rate in _rates(plan, phases)],
    }


def _rates(plan: Plan, phases: Mapping[str, Any]) -> Iterator[Rate]:
    """Requests a second of both pools together, at each length of prompts."""
    fill, step = (plan.parts[role] for role in ROLES)
    instances, gpus = (fill.world.instances, step.world.instances), (fill.world_size, step.world_size)
    prompts = [row.prompts_per_s for row in plan.served] or [None] * len(phases["prefill"])
    return rates(phases["prefill"], phases["decode"], prompts, instances, gpus, plan.config.workload.output_length)


def _headline(role: str, plan: Plan, contents: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: contents[key] for key in SHOWN}
    memory = {key: value for key, value in contents["memory"].items() if key != "stages"}
    return {"folder": role, "nodes": plan.config.hardware.nodes, **found, "memory": memory}
