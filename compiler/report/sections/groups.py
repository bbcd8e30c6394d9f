"""Kinds of groups, and what they cross."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.cluster.spans import SPANS
from compiler.plan import Plan
from compiler.report.blocks import Row, Section, Table
from compiler.world import World

REPORT, CONSOLE = (50, 80)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        table = Table(("kind", "groups", "ranks each", "span", "group 0"), tuple(_rows(plan)))
        yield Section(
            "Groups",
            ("A span is the slowest link that a group crosses.", table),
            lines=(("groups", _joined(plan.world)),),
        )


def _rows(plan: Plan) -> Iterator[Row]:
    for kind, table in plan.groups.items():
        spans = plan.world.spans(kind)
        reach = ", ".join(f"{int((spans == i).sum())} {name}" for i, name in enumerate(SPANS) if (spans == i).any())
        first = table[0].tolist()
        shown = " ".join(map(str, first if len(first) <= 8 else [*first[:4], "...", first[-1]]))
        yield kind, str(len(table)), str(table.shape[1]), reach, shown


def _joined(world: World) -> str:
    """The plan's own kinds that join ranks, by how far they reach; a framework's are only counted."""
    own = {kind: found for kind, found in world.kinds.items() if "." not in kind}
    joined = [kind for kind, found in own.items() if found.size > 1]
    reach = {span: [kind for kind in joined if world.worst_span(kind) == span] for span in SPANS}
    said = [f"{' '.join(kinds)} over {span}" for span, kinds in reach.items() if kinds]
    others = len(world.kinds) - len(own)
    more = [f"and {others} kinds of {world.config.framework.name}"] if others else []
    return ", ".join([*(said or ["none of several ranks"]), *more])
