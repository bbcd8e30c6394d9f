"""A comparison as sections: of a page, from the same typed blocks as a plan's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from compiler.diff.compared import Compared, topics
from compiler.diff.side import Part
from compiler.diff.topic import pairs
from compiler.diff.topics.ranks import moved
from compiler.diff.verdict import Change, Verdict
from compiler.report.blocks import Items, Section, Table, shown
from compiler.report.figures import Bar, Bars, RankGrid
from compiler.report.sections.ranks import grid
from compiler.report.told import Number
from compiler.report.verdict import Answer

MOODS = {Verdict.IDENTICAL: "good", Verdict.COSMETIC: "good", Verdict.BREAKS: "bad"}
"""Of a verdict; the others are to be thought about."""
WORDS = ("old", "new")
COLUMNS = ("what", "before", "after", "verdict", "why")
PLACES = ("stays", "moves", "new")
"""What becomes of a rank's place."""
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
        figures = _places(found) if topic.name == "ranks" else ()
        yield Section(topic.title.capitalize(), shown([*figures, _table(found.of(topic))]))


def _sides(change: Change) -> str:
    return f"{change.what}: {change.before} to {change.after}" if change.before or change.after else change.what


def _table(changes: Sequence[Change]) -> Table:
    """Columns in which anything stands."""
    rows = [(change.what, change.before, change.after, _verdict(change), change.why) for change in changes]
    kept = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    return Table(tuple(COLUMNS[at] for at in kept), tuple(tuple(row[at] for at in kept) for row in rows))


def _verdict(change: Change) -> str:
    return "" if change.verdict is Verdict.COSMETIC else str(change.verdict)


def _places(found: Compared) -> Iterator[RankGrid]:
    """The new plan's ranks, where any of them moves, or is new."""
    for role, old, new in pairs(found.old, found.new):
        other = moved(old, new)[: new.plan.size]
        shades = np.full(new.plan.size, PLACES.index("new"))
        shades[: len(other)] = np.where(other, PLACES.index("moves"), PLACES.index("stays"))
        if shades.any():
            file = "/".join(filter(None, ("new", role.strip(), "plan.json#world_size")))
            yield grid(
                new.plan,
                f"The {role}plan as it becomes: the ranks that stay, move and are new.",
                shades.tolist(),
                PLACES,
                file,
            )


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
