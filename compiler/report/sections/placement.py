"""The search for a placement: what it takes beside the default and names in order, how far from the bound, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Items, Row, Section, Table
from compiler.words import seconds, several, size

REPORT, CONSOLE = (55, 45)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    found = contents.get("placement")
    if found is None:
        return
    rows = found["compared"]
    kinds = [kind for kind in rows[0]["leaf_bytes"] if any(row["leaf_bytes"][kind] for row in rows)]
    head = ("placement", "order of axes", _whole(plan), "communication", *(f"{kind} between leaves" for kind in kinds))
    about = (
        f"{several(found['tried'], 'placement')} in {several(found['orders'], 'order')} of axes were tried. The best takes"
        f" {_percent(found['gap'])} more than the least that any can take ({seconds(found['bound_s'])}), and its groups"
        f" communicate {_percent(found['communication_gap'])} longer on average than if each kind had the cluster to itself"
        f" ({seconds(found['communication_bound_s'])}). Bytes between leaves, and in brackets the leaves of the widest group:"
    )
    table = Table(head, tuple(_row(row, kinds) for row in rows))
    yield Section("Placement", (about, table, Items(tuple(found["why"]))), lines=(("placement", _line(rows, found)),))


def _whole(plan: Plan) -> str:
    return "step" if plan.config.workload.train else "prompt and answer"


def _row(row: Mapping[str, Any], kinds: list[str]) -> Row:
    sent = (f"{size(row['leaf_bytes'][kind])} ({row['leaves'][kind]})" for kind in kinds)
    return (row["placement"], row["order"], seconds(row["seconds"]), seconds(row["communication_s"]), *sent)


def _line(rows: list[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """On the console."""
    others = ", ".join(f"{row['placement']} {seconds(row['seconds'])}" for row in reversed(rows[:-1]))
    return f"best {seconds(rows[-1]['seconds'])} ({others}), {_percent(found['gap'])} above the bound"


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %" if part > 1e-9 else "0 %"
