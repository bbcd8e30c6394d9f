"""What a person sees: a summary, and a sweep's progress. With rich on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from compiler.checks import Status
from compiler.errors import Problem, line
from compiler.plan import Plan
from compiler.report import sections
from compiler.report.blocks import Table

if TYPE_CHECKING:
    from compiler.searches.find import Found


def summary(plan: Plan, folder: Path) -> None:
    """Print what was compiled, what it costs, and what to look at."""
    found = [said for section in sections.of(plan, plan.contents, console=True) for said in section.lines]
    rows = [(name, line(value)) for name, value in (("plan", plan.name), ("folder", str(folder)), *found)]
    if sys.stdout is not None and sys.stdout.isatty():
        _print_rich(rows, plan)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")
    for check in plan.checks:
        if check.status is Status.WARN:
            print(f"warning: {check.problem}")


def found(search: Found, folder: Path, report: Path) -> None:
    """Print what a search found: the best plan first, then those behind it."""
    from compiler.searches.report import sections as said

    first, leaders, *_ = said(search.contents)
    rows = [*first.lines, ("plan", str(folder)), ("report", str(report / "report.md"))]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {line(value)}")
    for table in (block for block in leaders.blocks if isinstance(block, Table)):
        cells = [table.head, *table.rows]
        widths = [max(len(row[at]) for row in cells) for at in range(len(table.head))]
        print()
        for row in cells:
            print("  ".join(f"{cell:{size}}" for cell, size in zip(row, widths, strict=True)).rstrip())


def _print_rich(rows: list[tuple[str, str]], plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    console = Console()
    console.print(table)
    for check in plan.checks:
        if check.status is Status.WARN:
            console.print(Text("warning: ", style="yellow").append(str(check.problem), style="none"), soft_wrap=True)


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
            said = f"error: {problem.of(job)}"
            if self._bar is None:
                print(said, file=sys.stderr)
            else:  # above the bar, and still a line each
                self._bar.console.print(said, soft_wrap=True, markup=False, highlight=False)
