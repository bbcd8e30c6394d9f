"""What a person sees: the answer, a summary, and a sweep's progress. In color on a terminal, plain elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from compiler.errors import Problem, line
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.blocks import Table
from compiler.report.harm import worst
from compiler.report.verdict import answers

if TYPE_CHECKING:
    from compiler.searches.find import Found

COLORS = {"good": "\033[32m", "unsure": "\033[33m", "bad": "\033[31m", "bold": "\033[1m", "": "\033[0m"}
"""Of a terminal: a few words in color need no library, and rich takes longer to import than a plan to print."""


def summary(plan: Plan, folder: Path) -> None:
    """Print the answer first (does it fit, how fast, what to look at), then what was compiled, then warnings by their harm."""
    said = [line for section in sections.of(plan, plan.contents, console=True) for line in section.lines]
    answered = [(answer.question, answer.text, answer.mood) for answer in answers(plan, plan.contents)]
    rows = [*answered, *((*row, "bold") for row in (("plan", plan.name), ("folder", str(folder)), *said))]
    width = max(len(name) for name, *_ in rows)
    for name, value, mood in rows:
        print(f"{_colored(f'{name:{width}}', mood)}  {line(value)}")
    _warnings(plan)


def _warnings(plan: Plan) -> None:
    for check in worst(plan.checks):
        print(f"{_colored('warning:', 'unsure')} {check.problem}")


def compiled(plan: Plan, folder: Path) -> dict[str, Any]:
    """The same for a program."""
    contents = plan.contents
    return {
        "plan": plan.name,
        "folder": str(folder),
        "fingerprint": plan.fingerprint,
        "answers": [answer._asdict() for answer in answers(plan, contents)],
        "warnings": [check.to_dict() for check in worst(plan.checks)],
        "projection": contents["projection"],
    }


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=1))


def _colored(text: str, mood: str) -> str:
    terminal = sys.stdout is not None and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"{COLORS[mood]}{text}{COLORS['']}" if terminal else text


def found(search: Found, folder: Path, report: Path) -> None:
    """Print what a search found: the best plan first, then those behind it."""
    from compiler.searches.report import sections as said

    first, leaders, *_ = said(search.contents)
    page = "report.html" if search.best.config.report.html else "report.md"
    rows = [*first.lines, ("plan", str(folder)), ("report", str(report / page))]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {line(value)}")
    for block in leaders.blocks:
        print("\n".join(_aligned(block)) if isinstance(block, Table) else block)
    _warnings(search.best)


def _aligned(table: Table) -> Iterator[str]:
    """A table's lines, after an empty one."""
    cells = [table.head, *table.rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(table.head))]
    yield ""
    for row in cells:
        yield "  ".join(f"{cell:{size}}" for cell, size in zip(row, widths, strict=True)).rstrip()


def searched(search: Found, folder: Path, report: Path) -> dict[str, Any]:
    """The same for a program: the best plan, and where all of them are told."""
    return {**compiled(search.best, folder), "search": str(report)}


class Progress:
    """A sweep's bar on a terminal, and its failures as they come."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("compiling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("plans", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __getstate__(self) -> dict[str, Any]:
        """A job that runs elsewhere has no bar to move."""
        return {"total": self.total, "_bar": None}

    def advance(self) -> None:
        """One job is done."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def failed(self, job: str, problems: Iterable[Problem]) -> None:
        """Say at once why a job failed."""
        for problem in problems:
            said = f"error: {problem if problem.what.startswith(job) else problem.of(job)}"
            if self._bar is None:
                print(said, file=sys.stderr)
            else:  # above the bar, and still a line each
                self._bar.console.print(said, soft_wrap=True, markup=False, highlight=False)
