"""Memory of worlds: bytes by part, and parameters that a rank holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.costs.case import case
from compiler.costs.params import Counts, counts, totals
from compiler.costs.total import cost
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.world import World
from tests.worlds import LLAMA_8B, ROOMY, TRAIN, world


def held(found: World) -> Counts:
    plan = case(found)
    return counts(plan, totals(plan.model))


def parts(degrees: str, model: Model = LLAMA_8B, workload: Workload = TRAIN, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = cost(world(degrees, model, replace(workload, **changes), ROOMY)).to_dict()["memory"]
    return found
