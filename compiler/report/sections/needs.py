"""What the framework's program wants of its user beside the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.plan import Plan
from compiler.report.blocks import Section, Table

REPORT, CONSOLE = (30, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    found = list(adapter(plan.config.framework.name).needs(plan.config)) if plan.alone else []
    if found:
        rows = tuple((need.what, f"`{need.written}`", need.without) for need in found)
        said = "The plan says how ranks, model and batch are laid out. These are yours to say:"
        yield Section("What it still needs", (said, Table(("what", "in framework.args", "without it"), rows)))
