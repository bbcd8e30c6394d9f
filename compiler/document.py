"""What `plan.json` holds of one part: its dictionary in closed form, of a size that does not grow with the ranks."""

from __future__ import annotations

from typing import Any

from compiler.claims.facts import facts
from compiler.costs.case import busiest
from compiler.costs.total import Costs
from compiler.specs.config import Config
from compiler.world import World

SCHEMA = "rankplan/1"


def document(world: World, costs: Costs) -> dict[str, Any]:
    """All but the plan's name and fingerprint, checks and claims."""
    layout, found = world.to_dict(), costs.to_dict()
    layout["experts"]["imbalance"] = busiest(world.config, world.experts)
    return {
        "schema": SCHEMA,
        "world_size": layout.pop("world_size"),
        "instances": layout.pop("instances"),
        "degrees": world.degrees.to_dict(),
        "order": world.config.parallel.order,
        **layout,
        "padded_vocab_size": world.traits.padded_vocab_size,
        **found,
        "facts": facts(world, found),
        "assumed": _assumed(world.config),
    }


def _assumed(config: Config) -> list[str]:
    groups = {"hardware": config.hardware.assumed, "model": config.model.assumed, "workload": config.workload.assumed}
    return [f"{group}.{key}" for group, keys in groups.items() for key in keys]
