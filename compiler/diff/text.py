"""A comparison for people: as plain text, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.commands.text import shortened
from compiler.diff.compared import Compared, topics
from compiler.diff.verdict import MEANING, Change, Verdict
from compiler.errors import line, shown

REASONS = 5
"""Reasons that stand under the verdict."""
ROWS = 12
"""Changes of a topic that are printed."""


def text(found: Compared, *, whole: bool) -> Iterator[str]:
    """The verdict alone on the first line, its reasons, then what differs by topic."""
    yield str(found.verdict)
    if found.verdict is Verdict.IDENTICAL:
        return
    yield f"{found.old.label} -> {found.new.label}: {MEANING[found.verdict]}"
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
    yield f"{_code(found.old.label)} to {_code(found.new.label)}: {MEANING[found.verdict]}."
    yield ""
    if found.verdict not in (Verdict.IDENTICAL, Verdict.COSMETIC):
        for reason in shortened(found.reasons, REASONS, whole):
            yield f"- {_escaped(_said(reason))}" if reason else "- .."
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


def _cells(change: Change | None) -> str:
    if change is None:
        return "| .. | | | |"
    verdict = "" if change.verdict is Verdict.COSMETIC else str(change.verdict)
    return (
        "| " + " | ".join(_escaped(line(cell)) for cell in (change.what, change.before, change.after, verdict)) + " |"
    )


def _escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, in one cell."""
    marks = "\\`*_{}[]<>()#+!|~&$@"
    return "".join(f"\\{letter}" if letter in marks else letter for letter in shown(text))


def _code(text: str) -> str:
    return f"`{line(text).replace('`', chr(39))}`"
