"""Which experts ranks hold, layer by layer where a map places them so, and of which no copy is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from compiler.cluster.layout import Layout
from compiler.failures.losses import Mask
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks

EVERY = -1
"""Stands for all layers of a stage, where those are alike."""


@dataclass(frozen=True)
class Row:
    """Experts of each expert-parallel rank in one layer of a stage."""

    stage: int
    layer: int
    held: tuple[Ranks, ...]


def rows(plan: Layout, slots: Mapping[int, Ranks]) -> tuple[Row, ...]:
    """`slots`: layer -> the expert in each slot, shape [slots], those of an expert-parallel rank after the other's; empty where all
    layers are alike.
    """
    blocks, moe = plan.experts.blocks, enumerate(plan.experts.stages)
    if not slots:
        alike = tuple(_ids(block) for block in blocks)
        return tuple(Row(stage, EVERY, alike) for stage, routed in moe if routed and blocks)
    stage_of = {layer: stage for stage, layers in enumerate(plan.stages.layers) for layer in layers}
    return tuple(
        Row(stage_of[layer], layer, tuple(held.reshape(len(blocks), -1)))
        for layer, held in slots.items()
        if layer in stage_of
    )


def _ids(block: Iterable[tuple[int, int]]) -> Ranks:
    return np.concatenate([np.arange(first, last + 1, dtype=np.int64) for first, last in block] or [_none()])


def _none() -> Ranks:
    return np.zeros(0, dtype=np.int64)


def held(plan: Layout, placed: Iterable[Row], ranks: Ranks) -> Ranks:
    """Ids of the experts that ranks of an instance hold, in any layer."""
    if not plan.experts.blocks:
        return _none()
    at = set(
        zip(plan.expert.coordinate("pp", ranks).tolist(), plan.expert.coordinate("ep", ranks).tolist(), strict=True)
    )
    found = [row.held[ep] for row in placed for stage, ep in at if stage == row.stage]
    return np.unique(np.concatenate(found or [_none()]))


def gone(plan: Layout, placed: Iterable[Row], alive: Mask) -> dict[int, Ranks]:
    """Layer -> experts of which some shard is on no rank any more. `alive`: of the ranks of an instance, those that are left in any."""
    if not plan.experts.blocks:
        return {}
    grid, ranks = plan.expert, np.flatnonzero(alive)
    left = np.zeros((grid.size("pp"), grid.size("etp"), grid.size("ep")), dtype=bool)
    left[tuple(grid.coordinate(axis, ranks) for axis in ("pp", "etp", "ep"))] = True
    found: dict[int, Ranks] = {}
    for row in placed:
        lost = [_missing(row, shard) for shard in left[row.stage] if not shard.all()]
        ids = np.unique(np.concatenate([found.get(row.layer, _none()), *lost]))
        if len(ids):
            found[row.layer] = ids
    return found


def _missing(row: Row, left: Mask) -> Ranks:
    """Experts that no expert-parallel rank which is left has."""
    kept = [ids for ids, there in zip(row.held, left, strict=True) if there]
    return np.setdiff1d(np.concatenate(row.held), np.concatenate(kept or [_none()]))
