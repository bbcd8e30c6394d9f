"""A comparison for people: as plain text, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.commands.text import shortened
from compiler.diff.compared import Compared, topics
from compiler.diff.verdict import Change, Verdict
from compiler.errors import line

REASONS = 5
"""Reasons that stand under the verdict."""
ROWS = 12
"""Changes of a topic that are printed."""


def text(found: Compared, *, whole: bool) -> Iterator[str]:
    """The verdict alone on the first line, its reasons, then what differs by topic."""
    yield str(found.verdict)
    if found.verdict is Verdict.IDENTICAL:
        return
    yield f"{found.old.label} -> {found.new.label}: {found.meaning}"
    if found.verdict is not Verdict.COSMETIC:
        for reason in shortened(found.reasons, REASONS, whole):
            yield f"  because {_said(reason)}" if reason else "  .."
    for topic in topics():
        changes = found.of(topic)
        if changes:
            yield ""
            yield topic.title
            yield from (f"  {_row(change)}" if change else "  .." for change in shortened(changes, ROWS, whole))


def _said(change: Change) -> str:
    return f"{_row(change)}{f': {change.why}' if change.why else ''}"


def _row(change: Change) -> str:
    return line(f"{change.what}: {change.before} -> {change.after}" if change.before or change.after else change.what)


def markdown(found: Compared, *, whole: bool) -> Iterator[str]:
    """The verdict as a heading, the reasons as a list, and a table that folds for each topic."""
    yield f"## {found.verdict}"
    yield ""
    yield f"{_code(found.old.label)} to {_code(found.new.label)}: {found.meaning}."
    yield ""
    if found.verdict not in (Verdict.IDENTICAL, Verdict.COSMETIC):
        for reason in shortened(found.reasons, REASONS, whole):
            yield _reason(reason) if reason else "- .."
        yield ""
    for topic in topics():
        changes = found.of(topic)
        if changes:
            yield f"<details><summary>{topic.title}: {len(changes)}</summary>"
            yield ""
            yield "| what | before | after | |"
            yield "|---|---|---|---|"
            yield from map(_cells, shortened(changes, ROWS, whole))
            yield ""
            yield "</details>"
            yield ""


def _reason(change: Change) -> str:
    sides = f" {_code(change.before)} to {_code(change.after)}" * bool(change.before or change.after)
    return f"- {_code(change.what)}{sides}{f': {_code(change.why)}' if change.why else ''}"


def _cells(change: Change | None) -> str:
    if change is None:
        return "| .. | | | |"
    verdict = "" if change.verdict is Verdict.COSMETIC else str(change.verdict)
    cells = (_code(cell).replace("|", "\\|") for cell in (change.what, change.before, change.after))
    return f"| {' | '.join(cells)} | {verdict} |"


def _code(text: str) -> str:
    """As code, in which nothing is a link, a mention or a tag."""
    return f"`{line(text).replace('`', chr(39))}`" if text else ""
