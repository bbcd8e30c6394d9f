"""Layers and experts that other ranks hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from compiler.commands.folder import PlanFolder
from compiler.diff.side import Side
from compiler.diff.topic import Topic, pairs
from compiler.diff.verdict import Change, Verdict, change
from compiler.frozen import dataclass
from compiler.layout.experts import ranges
from compiler.layout.grid import Ranks
from compiler.layout.stages import span


@dataclass(frozen=True)
class Held:
    """`ids[place]` are the layers, or the experts of a layer, at a place; `places` is that of each rank, shape [ranks]."""

    ids: tuple[frozenset[int], ...]
    places: Ranks

    @property
    def all(self) -> int:
        return len(frozenset[int]().union(*self.ids))


def changes(old: Side, new: Side) -> Iterator[Change]:
    """Of ranks that both plans have: whether a rank holds a layer, or an expert of a MoE layer, that it did not hold, or no longer."""
    for before, one, other in pairs(old, new):
        ranks = np.arange(min(one.plan.size, other.plan.size))
        yield from _moved(f"{before}layers", _layers(one.plan, ranks), _layers(other.plan, ranks))
        if one.plan.experts.blocks and other.plan.experts.blocks:
            yield from _moved(f"{before}experts", _experts(one.plan, ranks), _experts(other.plan, ranks))


def _moved(what: str, old: Held, new: Held) -> Iterator[Change]:
    """Ranks that are at the same place in either plan are looked at together."""
    if old.all != new.all:
        yield Change("layers", what, str(old.all), str(new.all), Verdict.RESTART)
    both, first, counts = np.unique(old.places * len(new.ids) + new.places, return_index=True, return_counts=True)
    places = np.stack(np.divmod(both, len(new.ids)), axis=1).tolist()
    other = [index for index, (one, two) in enumerate(places) if old.ids[one] != new.ids[two]]
    if not other:
        return
    moved = frozenset[int]().union(*(old.ids[places[index][0]] ^ new.ids[places[index][1]] for index in other))
    index = min(other, key=lambda index: int(first[index]))
    where = f"change place on {int(counts[other].sum()):,} ranks; the first is {first[index]}, which holds"
    one, two = places[index]
    sides = (_said(old.ids[one]), _said(new.ids[two]))
    yield change("layers", f"{what} {_said(moved)} {where}", sides, Verdict.RESTART, len(moved))


def _said(ids: Iterable[int]) -> str:
    return ";".join(span(first, last) for first, last in ranges(sorted(ids))) or "none"


def _layers(plan: PlanFolder, ranks: Ranks) -> Held:
    """A place is a stage."""
    return Held(tuple(map(frozenset, plan.stages.layers)), plan.attention.coordinate("pp", ranks))


def _experts(plan: PlanFolder, ranks: Ranks) -> Held:
    """A place is an ep rank; the last one stands for stages without a MoE layer."""
    blocks = [
        frozenset(expert for first, last in block for expert in range(first, last + 1)) for block in plan.experts.blocks
    ]
    moe = np.array(plan.experts.stages)[plan.attention.coordinate("pp", ranks)]
    return Held((*blocks, frozenset()), np.where(moe, plan.expert.coordinate("ep", ranks), len(blocks)))


TOPIC = Topic("layers", 5, "layers and experts", changes)
