"""What `plan.json` holds of one part: its dictionary in closed form, of a size that does not grow with the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from compiler.claims.facts import facts
from compiler.cluster.share import Share
from compiler.costs.case import busiest
from compiler.costs.total import Costs
from compiler.layout.grid import Grid
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
    found = costs.to_dict()
    return {
        "schema": SCHEMA,
        "world_size": world.size,
        "instances": world.instances,
        "degrees": world.degrees.to_dict(),
        "order": world.config.parallel.order,
        **_layout(world),
        "padded_vocab_size": world.traits.padded_vocab_size,
        **found,
        "traffic": list(traffic),
        **({} if placement is None else {"placement": placement.to_dict()}),
        "facts": facts(world, found),
        "assumed": _assumed(world.config),
    }


def _layout(world: World) -> dict[str, Any]:
    """Where ranks, layers and experts are."""
    groups = [
        {"kind": kind, "count": found.count, "size": found.size, "members": found.members, "bases": found.bases}
        for kind, found in world.kinds.items()
    ]
    experts, slots = world.experts, world.slots
    return {
        "grids": grids(world),
        "groups": groups,
        "stages": world.stages.to_list(),
        "experts": {
            "blocks": experts.blocks,
            "moe_stages": experts.stages,
            "imbalance": busiest(world.config, experts),
            **({"by_layer": True} if experts.by_layer else {}),
        },
        "slots": {
            "count": slots.count,
            "gpus": slots.gpus,
            "pinned": slots.pinned,
            "spares": list(slots.spares),
            **_share(slots.share),
        },
    }


def _share(share: Share) -> dict[str, Any]:
    """What an instance has of its nodes, where that is not all of them."""
    return (
        {} if share.whole else {"share": {"gpus": share.ranks, "nodes": share.nodes, "first_gpu": share.first_gpu(0)}}
    )


def grids(world: World) -> dict[str, list[dict[str, Any]]]:
    """Axes of both grids, fastest first."""

    def rows(grid: Grid) -> list[dict[str, Any]]:
        return [asdict(axis) for axis in grid.axes]

    return {"attention": rows(world.attention), "expert": rows(world.expert)}


def _assumed(config: Config) -> list[str]:
    groups = {"hardware": config.hardware.assumed, "model": config.model.assumed, "workload": config.workload.assumed}
    return [f"{group}.{key}" for group, keys in groups.items() for key in keys]
