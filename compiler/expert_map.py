"""The map of experts to slots of GPUs that measured loads ask for, layer by layer, beside the one that a server begins with."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.frozen import dataclass
from compiler.layout import loads
from compiler.layout.balance import Balance, balanced, imbalance, moved
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Ranks
from compiler.specs.config import Config
from compiler.world import World

SCHEMA = "rankplan.experts/1"


@dataclass(frozen=True)
class ExpertMap:
    """`layers` are ids of the MoE layers, `balance` has a row for each; `before` is the expert in each slot of any layer where
    nobody asks for a map (slot i has expert i % experts), and `imbalance_before` what that comes to.
    """

    layers: tuple[int, ...]
    gpus: int
    experts: int
    before: Ranks
    imbalance_before: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    balance: Balance

    def of_model(self, num_layers: int) -> list[list[int]]:
        """A row for each layer of the model: the map, or the first one where a layer routes to no experts."""
        rows = dict(zip(self.layers, self.balance.slots.tolist(), strict=True))
        return [rows.get(layer, self.before.tolist()) for layer in range(num_layers)]

    def to_dict(self) -> dict[str, Any]:
        """What `experts.json` holds."""
        balance = self.balance
        columns = (self.layers, self.imbalance_before.tolist(), balance.imbalance.tolist(), balance.bound.tolist())
        keys = ("layer", "imbalance_before", "imbalance", "bound")
        rows = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        first = np.broadcast_to(self.before, balance.slots.shape)
        return {
            "schema": SCHEMA,
            "gpus": self.gpus,
            "experts": self.experts,
            "slots": len(self.before),
            "imbalance_before": float(self.imbalance_before.mean()),
            "imbalance": float(balance.imbalance.mean()),
            "experts_moved": moved(balance.slots, first, self.gpus),
            "layers": [{**row, "experts": slots} for row, slots in zip(rows, balance.slots.tolist(), strict=True)],
        }


def mapped(config: Config, experts: ExpertBlocks) -> bool:
    """Whether there is a map: a load is known, and experts are spread over several ranks, each with as many slots."""
    gpus = config.degrees.ep
    even = gpus > 1 and (config.model.num_experts + experts.redundant) % gpus == 0
    return config.experts.load is not None and bool(experts.blocks) and even


def expert_map(world: World) -> ExpertMap | None:
    """None where no load is known, or experts are not spread over several ranks, each with as many slots.

    Layers that were not measured count as the mean of those that were. Groups of experts (`n_group`) stay on a node where the
    nodes of an expert-parallel group divide them.
    """
    config, gpus, model = world.config, world.degrees.ep, world.config.model
    total = model.num_experts + world.experts.redundant
    if config.experts.load is None or not mapped(config, world.experts):
        return None
    measured = loads.read(config.experts.load)
    layers = tuple(layer for layer, moe in enumerate(model.moe_layers) if moe)
    mean = np.mean(list(measured.values()), axis=0)
    rows = np.stack([measured.get(layer, mean) for layer in layers])
    before = np.arange(total, dtype=np.int64) % model.num_experts
    nodes = len(np.unique(world.slots.slot(world.groups["ep"][0])))
    split = nodes if gpus % nodes == 0 and total % nodes == 0 and model.n_group > 1 else 1
    found = balanced(rows, total, gpus, model.n_group, split)
    first = imbalance(rows, np.broadcast_to(before, (len(layers), total)), gpus)
    return ExpertMap(layers, gpus, model.num_experts, before, first, found)
