"""A table as the reports lay it out."""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A Markdown table: a head, and rows of as many cells."""

    head: Row
    rows: tuple[Row, ...]
