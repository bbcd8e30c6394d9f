"""Layers of each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.told import told
from compiler.words import gigabytes

REPORT, CONSOLE = (60, None)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        rows = tuple(
            (str(pp), label, told(contents, f"memory.stages.{pp}.total_bytes", gigabytes))
            for pp, label in enumerate(plan.world.stages.labels)
        )
        yield Section("Stages", (Table(("stage", "layers", "memory of its fullest rank"), rows),))
