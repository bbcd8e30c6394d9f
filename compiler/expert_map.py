"""The map of experts to slots of GPUs that measured loads ask for, layer by layer, beside the one that a server begins with."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from compiler.cluster.share import share
from compiler.frozen import dataclass
from compiler.layout import last_map, loads
from compiler.layout.balance import Balance, balanced, imbalance, kept, moved
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid, Ranks
from compiler.specs.config import Config, Experts
from compiler.world import World

SCHEMA = "rankplan.experts/1"


@dataclass(frozen=True)
class ExpertMap:
    """`layers` are ids of the MoE layers, `balance` has a row for each; `before` is the expert in each slot of any layer where
    nobody asks for a map (slot i has expert i % experts), and `imbalance_before` what that comes to. `moved` are experts that a GPU
    gets and did not have in the last map, in all layers.
    """

    layers: tuple[int, ...]
    gpus: int
    experts: int
    before: Ranks
    imbalance_before: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    balance: Balance
    moved: int

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
        return {
            "schema": SCHEMA,
            "gpus": self.gpus,
            "experts": self.experts,
            "slots": len(self.before),
            "imbalance_before": float(self.imbalance_before.mean()),
            "imbalance": float(balance.imbalance.mean()),
            "experts_moved": self.moved,
            "layers": [{**row, "experts": slots} for row, slots in zip(rows, balance.slots.tolist(), strict=True)],
        }


def mapped(config: Config, experts: ExpertBlocks) -> bool:
    """Whether there is a map: a load of each expert is known, and experts are spread over several ranks, each with as many slots."""
    gpus, count = config.degrees.ep, config.model.num_experts
    even = gpus > 1 and (count + experts.redundant) % gpus == 0
    if config.experts.load is None or not experts.blocks or not even:
        return False
    return all(len(row) == count for row in loads.read(config.experts.load).values())


def expert_map(world: World) -> ExpertMap | None:
    """None where no load is known, or experts are not spread over several ranks, each with as many slots."""
    return placed(world.config, world.experts, world.expert) if mapped(world.config, world.experts) else None


def placed(config: Config, experts: ExpertBlocks, grid: Grid) -> ExpertMap:
    """Of experts that are `mapped`, on an expert grid.

    Layers that were not measured count as the mean of those that were. Groups of experts (`n_group`) stay on a node where the
    nodes of an expert-parallel group divide them. GPUs are named so that least is moved from the last map, or from the first one.
    """
    model, gpus = config.model, config.degrees.ep
    total, nodes = model.num_experts + experts.redundant, _nodes(config, grid)
    split = nodes if gpus % nodes == 0 and total % nodes == 0 and model.n_group > 1 else 1
    layers = tuple(layer for layer, moe in enumerate(model.moe_layers) if moe)
    return _placed(config.experts, layers, (model.num_experts, total), gpus, (model.n_group, split))


def _nodes(config: Config, grid: Grid) -> int:
    """Nodes of the expert-parallel group of rank 0."""
    ranks = np.arange(config.degrees.world_size, dtype=np.int64)
    apart = [grid.coordinate(axis, ranks) for axis in ("etp", "edp", "pp")]
    return len(np.unique(share(config).slot(ranks[~np.any(apart, axis=0)])))


@lru_cache(maxsize=8)
def _placed(
    given: Experts, layers: tuple[int, ...], sizes: tuple[int, int], gpus: int, groups: tuple[int, int]
) -> ExpertMap:
    """`sizes` are experts of a layer, and slots; `groups` those of experts, and the nodes that divide them."""
    measured, (experts, total), (n_group, split) = loads.read(given.load or ""), sizes, groups
    mean = np.mean(list(measured.values()), axis=0)
    rows = np.stack([measured.get(layer, mean) for layer in layers])
    before = np.arange(total, dtype=np.int64) % experts
    first = np.broadcast_to(before, (len(layers), total))
    found = balanced(rows, total, gpus, n_group, split)
    last = first if given.last is None else last_map.read(given.last, layers, total, gpus)
    named = replace(found, slots=kept(found.slots, last, gpus, split))
    return ExpertMap(layers, gpus, experts, before, imbalance(rows, first, gpus), named, moved(named.slots, last, gpus))
