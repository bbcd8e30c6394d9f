"""A comparison as sections: of a page, from the same typed blocks as a plan's report."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diff.compared import Compared, topics
from compiler.diff.side import Part
from compiler.diff.verdict import Change, Verdict
from compiler.report.blocks import Items, Section, Table, shown
from compiler.report.figures import Bar, Bars
from compiler.report.told import Number
from compiler.report.verdict import Answer

MOODS = {Verdict.IDENTICAL: "good", Verdict.COSMETIC: "good", Verdict.BREAKS: "bad"}
"""Of a verdict; the others are to be thought about."""
WORDS = ("old", "new")
HELD = ("weights", "gradients", "optimizer", "activations", "kv_cache", "other")


def answers(found: Compared) -> list[Answer]:
    """The verdict first, then how much differs."""
    counts = {topic.title: len(found.of(topic)) for topic in topics()}
    said = ", ".join(f"{title} {count}" for title, count in counts.items() if count) or "nothing"
    mood = MOODS.get(found.verdict, "unsure")
    return [Answer(str(found.verdict), found.meaning, mood), Answer("what differs", said, mood)]


def sections(found: Compared) -> Iterator[Section]:
    """The reasons, both plans' memory, and every change by topic."""
    own = () if found.verdict in (Verdict.IDENTICAL, Verdict.COSMETIC) else found.reasons
    reasons = tuple(f"{_sides(change)}{f': {change.why}' if change.why else ''}" for change in own)
    yield Section("Why", shown([Items(reasons)]), urgent=True)
    yield Section("Memory of the fullest ranks", shown(_memory(found)))
    for topic in topics():
        own = found.of(topic)
        cited = any(change.why for change in own)
        rows = tuple((*_row(change), *[change.why] * cited) for change in own)
        head = ("what", "before", "after", "verdict", *["why"] * cited)
        yield Section(topic.title.capitalize(), shown([Table(head, rows)]))


def _sides(change: Change) -> str:
    return f"{change.what}: {change.before} to {change.after}" if change.before or change.after else change.what


def _row(change: Change) -> tuple[str, ...]:
    verdict = "" if change.verdict is Verdict.COSMETIC else str(change.verdict)
    return change.what, change.before, change.after, verdict


def _memory(found: Compared) -> Iterator[Bars]:
    """A bar for each part of either side; nothing where the files are the same."""
    if found.verdict is Verdict.IDENTICAL:
        return
    sides = [(word, role, part) for word in WORDS for role, part in getattr(found, word).parts.items()]
    limits = [_number(word, role, part, "capacity") for word, role, part in sides]
    yield Bars(
        name="memory",
        title="Memory",
        about="Before and after, stacked, under the larger capacity of a GPU.",
        unit="bytes",
        bars=tuple(
            Bar(f"{role} {word}".strip(), tuple(_number(word, role, part, key) for key in HELD))
            for word, role, part in sides
        ),
        limit=max(limits, key=lambda limit: limit.value or 0),
    )


def _number(word: str, role: str, part: Part, key: str) -> Number:
    """A number of a side's, or of its part's, plan.json."""
    file = "/".join(filter(None, (word, role, "plan.json")))
    value = part.plan.contents["memory"].get(f"{key}_bytes")
    return Number(key.replace("_", " "), value, f"{file}#memory.{key}_bytes")
