"""Checks that did not pass, and how many did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.checks import Status
from compiler.plan import Plan
from compiler.report.blocks import Items, Section, shown
from compiler.report.harm import worst

REPORT, CONSOLE = (20, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    passed = sum(check.status is Status.PASS for check in plan.checks)
    notable = tuple(
        f"**{check.id}** ({check.status}): {check.message}. To change it: {check.fix}." for check in worst(plan.checks)
    )
    yield Section(
        "What to look at",
        shown((Items(notable), f"{passed} checks passed; `plan.json` lists them all.")),
        urgent=True,
    )
