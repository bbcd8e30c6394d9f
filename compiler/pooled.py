"""Prefill and decode as two plans on nodes of their own, launched together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compiler.checks import Check
from compiler.claims.judge import Verdict
from compiler.costs.numbers import plain
from compiler.costs.rates import Rate, rates
from compiler.costs.together import Aggregated
from compiler.plan import Plan
from compiler.specs.config import Config
from compiler.specs.workload import ROLES
from compiler.words import figures

SCHEMA = "rankplan.pools/1"
SHOWN = ("name", "fingerprint", "world_size", "instances", "degrees", "params", "memory")


@dataclass(frozen=True)
class PooledPlan:
    """`pools` holds a plan for each role, prefill first; `checks` are those of both together, `served` what their clients see,
    where an engine was measured.
    """

    config: Config
    pools: Mapping[str, Plan]
    checks: tuple[Check, ...] = ()
    expectations: tuple[Verdict, ...] = field(default=())
    served: tuple[Aggregated, ...] = ()

    @property
    def name(self) -> str:
        return self.config.plan_name

    @property
    def ranks(self) -> int:
        """Of all instances of both pools."""
        return sum(plan.world_size * plan.world.instances for plan in self.pools.values())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of both plans'."""
        decides = {role: plan.fingerprint for role, plan in self.pools.items()}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """What the upper `plan.json` holds: each pool's headline, and the phases that each does."""
        contents = {role: plan.to_dict() for role, plan in self.pools.items()}
        phases = {role: found["projection"]["serve"][role] for role, found in contents.items()}
        found = {
            "schema": SCHEMA,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "ranks": self.ranks,
            "pools": {role: _headline(role, self.pools[role], found) for role, found in contents.items()},
            "projection": {"serve": phases},
            "served": [plain(vars(row)) for row in self.served],
            "rates": [vars(rate) for rate in self._rates(phases)],
            "checks": [check.to_dict() for check in self.checks],
        }
        return {**figures(found), "expectations": [vars(verdict) for verdict in self.expectations]}

    def _rates(self, phases: Mapping[str, Any]) -> Iterator[Rate]:
        """Requests a second of both pools together, at each length of prompts."""
        fill, step = (self.pools[role] for role in ROLES)
        instances, gpus = (fill.world.instances, step.world.instances), (fill.world_size, step.world_size)
        return rates(phases["prefill"], phases["decode"], instances, gpus, self.config.workload.output_length)

    def write(self, out: str | Path = "out", name: str | None = None) -> Path:
        """Write `<out>/<name>`, with a plan folder for each pool in it, as `Plan.write` does."""
        from compiler.render.pooled import write_pooled

        return write_pooled(self, Path(out), name)


def _headline(role: str, plan: Plan, contents: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: contents[key] for key in SHOWN}
    memory = {key: value for key, value in contents["memory"].items() if key != "stages"}
    return {"folder": role, "nodes": plan.config.hardware.nodes, **found, "memory": memory}
