"""Groups that have other ranks, or cross other links."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.spans import SPANS, spans
from compiler.commands.folder import PlanFolder
from compiler.diff.side import Side
from compiler.diff.topic import MISSING, Topic, pairs
from compiler.diff.verdict import Change, Verdict, change
from compiler.layout.grid import Ranks


def changes(old: Side, new: Side) -> Iterator[Change]:
    """A change for each kind of group; of the first instance, as the tables are."""
    for before, one, other in pairs(old, new):
        for kind in dict.fromkeys([*one.plan.groups, *other.plan.groups]):
            yield from _kind(before, kind, one.plan, other.plan)


def _kind(before: str, kind: str, old: PlanFolder, new: PlanFolder) -> Iterator[Change]:
    shapes = [_shape(plan, kind) for plan in (old, new)]
    if shapes[0] != shapes[1]:
        yield change("groups", f"{before}{kind}", shapes, Verdict.RESTART)
        return
    tables = old.groups[kind], new.groups[kind]
    other = (tables[0] != tables[1]).any(axis=1)
    if other.any():
        index = int(other.argmax())
        what = f"{before}{kind}: {int(other.sum()):,} of {len(other):,} groups, the first is {index}"
        yield change("groups", what, (_ranks(table[index]) for table in tables), Verdict.RESTART, int(other.sum()))
    links = [spans(table, plan.slots) for table, plan in zip(tables, (old, new), strict=True)]
    if (links[0] != links[1]).any():
        yield change("groups", f"{before}{kind}: links that are crossed", map(_spans, links))


def _shape(plan: PlanFolder, kind: str) -> str:
    return "{:,} of {:,}".format(*plan.groups[kind].shape) if kind in plan.groups else MISSING


def _ranks(ranks: Ranks) -> str:
    shown = [str(rank) for rank in ranks[:8].tolist()]
    return " ".join([*shown, *[".."] * (len(ranks) > len(shown))])


def _spans(found: NDArray[np.int8]) -> str:
    """`nvlink 12, leaf 4`: groups by the slowest link that they cross."""
    counts = {span: int((found == number).sum()) for number, span in enumerate(SPANS)}
    return ", ".join(f"{span} {count:,}" for span, count in counts.items() if count)


TOPIC = Topic("groups", 4, "groups", changes)
