"""Collectives of a rank, and the forms of dispatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report import breakdown
from compiler.report.blocks import Block, Section, Table, shown
from compiler.report.told import told
from compiler.words import readable, seconds, size

REPORT, CONSOLE = (100, None)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        yield Section("Communication", shown(_blocks(contents)))


def _blocks(contents: Mapping[str, Any]) -> Iterator[Block]:
    forms = breakdown.forms(contents["dispatch"])
    yield breakdown.made(contents["communicators"])
    yield _communication(contents)
    if forms.rows:
        yield "Ways to send a rank's tokens to their experts, for one MoE layer:"
        yield forms


def _communication(contents: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            flow.get("phase", ""),
            flow["kind"],
            f"{flow['op']} ({flow['role']})" if flow.get("role") else flow["op"],
            told(contents, f"communication.{index}.count", readable),
            told(contents, f"communication.{index}.bytes_per_rank", size),
            flow["span"],
            told(contents, f"communication.{index}.seconds", seconds),
            "yes" if flow["overlapped"] else "no",
        )
        for index, flow in enumerate(contents["communication"])
    )
    return Table(("phase", "group", "collective", "calls", "bytes a rank", "span", "time", "overlapped"), rows)
