"""Parameters of the model, and of a rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.told import told
from compiler.words import readable

NAMES = {
    "total": "total",
    "active": "active",
    "dense": "dense",
    "moe": "experts",
    "declared_total": "declared",
    "derived_dense": "dense by the architecture",
    "derived_moe": "experts by the architecture",
    "per_expert": "an expert of a layer",
    "per_rank_max": "on the fullest rank",
}

REPORT, CONSOLE = (70, 70)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        params = contents["params"]
        rows = tuple(
            (words, told(contents, f"params.{name}", readable))
            for name, words in NAMES.items()
            if params.get(name) is not None
        )
        total, active, own = (readable(params[name]) for name in ("total", "active", "per_rank_max"))
        yield Section(
            "Parameters",
            (Table(("parameters", "count"), rows),),
            lines=(("parameters", f"{total}, {active} active, {own} on a rank"),),
        )
