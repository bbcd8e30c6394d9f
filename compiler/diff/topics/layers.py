"""Layers and experts that other ranks hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from compiler.commands.folder import PlanFolder
from compiler.diff.side import Side
from compiler.diff.topic import Topic, pairs
from compiler.diff.verdict import Change, Verdict, change
from compiler.layout.experts import ranges
from compiler.layout.grid import Ranks
from compiler.layout.stages import span

Held = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def changes(old: Side, new: Side) -> Iterator[Change]:
    """Of ranks that both plans have: whether a rank holds a layer, or an expert of a MoE layer, that it did not hold, or no longer."""
    for before, one, other in pairs(old, new):
        plans = one.plan, other.plan
        ranks = np.arange(min(plan.size for plan in plans))
        stages = [plan.attention.coordinate("pp", ranks) for plan in plans]
        yield from _moved(f"{before}layers", *(_layers(plan)[stage] for plan, stage in zip(plans, stages, strict=True)))
        if all(plan.experts.blocks for plan in plans):
            held = [_experts(plan, stage, ranks) for plan, stage in zip(plans, stages, strict=True)]
            yield from _moved(f"{before}experts", *held)


def _moved(what: str, old: Held, new: Held) -> Iterator[Change]:
    """`old` and `new` have shape [ranks, layers or experts]."""
    count = min(old.shape[1], new.shape[1])
    other = old[:, :count] != new[:, :count]
    if old.shape[1] != new.shape[1]:
        yield Change("layers", what, f"{old.shape[1]}", f"{new.shape[1]}", Verdict.RESTART)
    if not other.any():
        return
    moved, ranks = np.flatnonzero(other.any(axis=0)), other.any(axis=1)
    rank = int(ranks.argmax())
    said = f"{what} {_ids(moved.tolist())} change place on {int(ranks.sum()):,} ranks; the first is {rank}, which holds"
    yield change("layers", said, (_ids(np.flatnonzero(held[rank]).tolist()) for held in (old, new)), Verdict.RESTART)


def _ids(ids: Sequence[int]) -> str:
    return ";".join(span(first, last) for first, last in ranges(ids)) or "none"


def _layers(plan: PlanFolder) -> Held:
    """[stage, layer]: which stage holds which layer."""
    stages = plan.stages.layers
    found = np.zeros((len(stages), 1 + max((layer for layers in stages for layer in layers), default=-1)), dtype=bool)
    for stage, layers in enumerate(stages):
        found[stage, list(layers)] = True
    return found


def _experts(plan: PlanFolder, stages: Ranks, ranks: Ranks) -> Held:
    """[rank, expert]: which rank holds which expert, in the stages that have any."""
    blocks = plan.experts.blocks
    found = np.zeros((len(blocks), 1 + max(last for block in blocks for _, last in block)), dtype=bool)
    for ep, block in enumerate(blocks):
        for first, last in block:
            found[ep, first : last + 1] = True
    held: Held = found[plan.expert.coordinate("ep", ranks)] & np.array(plan.experts.stages)[stages][:, None]
    return held


TOPIC = Topic("layers", 5, "layers and experts", changes)
