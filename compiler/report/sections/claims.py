"""Claims about the plan, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.words import readable

WORDS = {"holds": "holds", "fails": "**fails**", "not_applicable": "not applicable"}

REPORT, CONSOLE = (120, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone and any(verdict.verdict != "not_applicable" for verdict in plan.expectations):
        yield Section(
            "Claims",
            (f'What "{plan.config.expect.source}" says, held against this plan.', _claims(plan)),
            urgent=True,
        )


def _claims(plan: Plan) -> Table:
    rows = tuple(
        (
            v.id,
            v.statement,
            f"{v.comparison} {readable(v.claimed)}".removeprefix("== "),
            readable(v.computed),
            WORDS[v.verdict],
            v.reason,
        )
        for v in plan.expectations
    )
    return Table(("claim", "statement", "claimed", "computed", "verdict", "why"), rows)
