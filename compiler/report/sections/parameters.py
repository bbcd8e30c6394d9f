"""Parameters of the model, and of a rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.told import told
from compiler.words import readable

NAMES = (
    *("total", "active", "dense", "moe", "declared_total"),
    *("derived_dense", "derived_moe", "per_expert", "per_rank_max"),
)

REPORT, CONSOLE = (70, 70)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        params = contents["params"]
        rows = tuple(
            (name.replace("_", " "), told(contents, f"params.{name}", readable))
            for name in NAMES
            if params.get(name) is not None
        )
        total, active, own = (readable(params[name]) for name in ("total", "active", "per_rank_max"))
        yield Section(
            "Parameters",
            (Table(("parameters", "count"), rows),),
            lines=(("parameters", f"{total}, {active} active, {own} on a rank"),),
        )
