"""Values that no source gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section

REPORT, CONSOLE = (130, None)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone and contents["assumed"]:
        yield Section("Assumed", (f"No source gives these values: {', '.join(contents['assumed'])}.",))
