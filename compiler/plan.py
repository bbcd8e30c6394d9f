"""The Plan: a frozen whole, its fingerprint, and its dictionary."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compiler.checks import Check
from compiler.cluster.share import Share
from compiler.costs.case import busiest
from compiler.costs.total import Costs
from compiler.facts import facts
from compiler.layout.grid import Grid
from compiler.layout.groups import Groups
from compiler.rank_map import RankMap
from compiler.specs.config import Config
from compiler.specs.hardware import Within
from compiler.specs.newer import said
from compiler.words import figures
from compiler.world import World

SCHEMA = "rankplan/1"


@dataclass(frozen=True)
class Verdict:
    """A claim held against the plan: `verdict` is holds, fails or not_applicable."""

    id: str
    statement: str
    metric: str
    comparison: str
    claimed: Any
    computed: Any
    verdict: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """A compiled plan in closed form; tables of ranks and groups are expanded when they are asked for."""

    world: World
    costs: Costs
    checks: tuple[Check, ...] = ()
    expectations: tuple[Verdict, ...] = field(default=())

    @property
    def config(self) -> Config:
        return self.world.config

    @property
    def name(self) -> str:
        return self.config.plan_name

    @property
    def world_size(self) -> int:
        """Ranks of one instance."""
        return self.world.size

    @property
    def groups(self) -> Groups:
        """kind -> ranks, shape [groups, size]."""
        return self.world.groups

    @cached_property
    def rank_map(self) -> RankMap:
        """column -> array of length world_size."""
        return RankMap(self.world)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of what decides the plan; neither its name nor how it is launched is part of it."""
        config, world = self.config, self.world
        left_out = ("inventory", "pin", *["within"] * (config.hardware.within == Within()))
        hardware = {key: value for key, value in asdict(config.hardware).items() if key not in left_out}
        decides = {
            "schema": SCHEMA,
            "grids": _grids(world),
            "order": config.parallel.order,
            "stages": world.stages.to_list(),
            "experts": world.experts.blocks,
            "loads": config.experts.load,
            "slots": {
                "hosts": world.slots.hosts,
                "leaf": _digest(world.slots.leaf.tobytes()),
                "pod": _digest(world.slots.pod.tobytes()),
                "domain": _digest(world.slots.domain.tobytes()),
            },
            "model": said(asdict(config.model)),
            "hardware": hardware,
            "workload": asdict(config.workload),
            "framework": asdict(config.framework),
        }
        return _digest(json.dumps(decides, sort_keys=True, separators=(",", ":")).encode())

    def to_dict(self) -> dict[str, Any]:
        """What `plan.json` holds: the plan in closed form, of a size that does not grow with the ranks."""
        world, costs = self.world, self.costs.to_dict()
        found = {
            "schema": SCHEMA,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "world_size": world.size,
            "instances": world.instances,
            "degrees": world.degrees.to_dict(),
            "order": self.config.parallel.order,
            **_layout(world),
            "padded_vocab_size": world.padded_vocab_size,
            **costs,
            "facts": facts(world, costs),
            "assumed": _assumed(self.config),
            "checks": [check.to_dict() for check in self.checks],
        }
        return {**figures(found), "expectations": [asdict(verdict) for verdict in self.expectations]}

    def write(self, out: str | Path = "out", name: str | None = None) -> Path:
        """Write the plan folder `<out>/<name>` in one step (name: the plan's own where None) and return its path.

        Raises WriteError, and ConfigError where a launch target cannot carry a value.
        """
        from compiler.render.folder import write_plan

        return write_plan(self, Path(out), name)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _layout(world: World) -> dict[str, Any]:
    """Where ranks, layers and experts are."""
    groups = [
        {"kind": kind, "count": found.count, "size": found.size, "members": found.members, "bases": found.bases}
        for kind, found in world.kinds.items()
    ]
    experts, slots = world.experts, world.slots
    return {
        "grids": _grids(world),
        "groups": groups,
        "stages": world.stages.to_list(),
        "experts": {"blocks": experts.blocks, "moe_stages": experts.stages, "imbalance": busiest(world)},
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


def _grids(world: World) -> dict[str, list[dict[str, Any]]]:
    def rows(grid: Grid) -> list[dict[str, Any]]:
        return [asdict(axis) for axis in grid.axes]

    return {"attention": rows(world.attention), "expert": rows(world.expert)}


def _assumed(config: Config) -> list[str]:
    groups = {"hardware": config.hardware.assumed, "model": config.model.assumed, "workload": config.workload.assumed}
    return [f"{group}.{key}" for group, keys in groups.items() for key in keys]
