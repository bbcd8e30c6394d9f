"""Layers of each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.words import gigabytes

REPORT, CONSOLE = (60, 90)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        labels, memory = plan.world.stages.labels, contents["memory"]["stages"]
        rows = tuple((str(pp), label, gigabytes(memory[pp]["total_bytes"])) for pp, label in enumerate(labels))
        yield Section("Stages", (Table(("stage", "layers", "memory of its fullest rank"), rows),))
