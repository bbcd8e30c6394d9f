"""Other files that differ: tables, reports and whatever is made from the plan."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diff.side import Side
from compiler.diff.topic import Topic, differing
from compiler.diff.topics.launch import launched
from compiler.diff.verdict import Change
from compiler.render.owned import MANIFEST


def changes(old: Side, new: Side) -> Iterator[Change]:
    """They follow from the rest, and run nothing."""
    found = [
        file for file, _, _ in differing(old.files, new.files) if not launched(file) and not file.endswith(MANIFEST)
    ]
    if found:
        yield Change("files", f"other bytes in {', '.join(found)}", "", "")


TOPIC = Topic("files", 9, "files", changes)
