"""What `plan.json` holds of one part: its dictionary in closed form, of a size that does not grow with the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compiler.claims.facts import facts
from compiler.costs.case import busiest
from compiler.costs.total import Costs
from compiler.specs.config import Config
from compiler.world import World

if TYPE_CHECKING:
    from compiler.placement.chosen import Chosen

SCHEMA = "rankplan/1"


def document(
    world: World, costs: Costs, traffic: Sequence[Mapping[str, Any]], placement: Chosen | None
) -> dict[str, Any]:
    """All but the plan's name and fingerprint, checks and claims; `traffic` is its rows, `placement` how it was
    searched, where it was.
    """
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
        "traffic": list(traffic),
        **({} if placement is None else {"placement": placement.to_dict()}),
        "facts": facts(world, found),
        "assumed": _assumed(world.config),
    }


def _assumed(config: Config) -> list[str]:
    groups = {"hardware": config.hardware.assumed, "model": config.model.assumed, "workload": config.workload.assumed}
    return [f"{group}.{key}" for group, keys in groups.items() for key in keys]
