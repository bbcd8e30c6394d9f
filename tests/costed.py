"""Memory of worlds: bytes by part, and parameters that a rank holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from compiler.blocks.block import whole
from compiler.blocks.stack import stack
from compiler.costs import total
from compiler.costs.calibration import Calibration, assumed_curves
from compiler.costs.case import Case, case
from compiler.costs.uncertainty import Uncertainty
from compiler.costs.work.memory import cached_bytes
from compiler.costs.work.params import Counts, counts, totals
from compiler.frameworks.adapter import adapter
from compiler.specs.config import Framework
from compiler.specs.model import Model
from compiler.specs.workload import Workload
from compiler.world import World
from tests.worlds import LLAMA_8B, ROOMY, TRAIN, world


def cost(found: World, by: Calibration | None = None, known: Uncertainty = Uncertainty()) -> total.Costs:  # noqa: B008
    """By assumed curves and the constants that nobody fitted, unless others are given."""
    return total.cost(found, by or Calibration(assumed_curves(found.config.hardware)), known)


def under(found: World, framework: str, *args: str) -> World:
    """The same ranks with what another framework makes of them."""
    config = replace(found.config, framework=Framework(name=framework, args=list(args)))
    return replace(found, config=config, traits=adapter(framework).traits(config))


def held(found: World) -> Counts:
    plan = case(found)
    return counts(plan, totals(plan.model))


def kv_token(found: Case) -> Any:
    """Bytes that a layer caches of a token."""
    return found.stages.mean(lambda block: cached_bytes(found, block, lambda cache: cache.entries(1.0)))


def norms(model: Model) -> float:
    """Weights of a layer that no product reads."""
    return float(sum(whole(block.others) for block in stack(model).layers[0]))


def parts(degrees: str, model: Model = LLAMA_8B, workload: Workload = TRAIN, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = cost(world(degrees, model, replace(workload, **changes), ROOMY)).to_dict()["memory"]
    return found
