"""What a report is made of, whatever lays it out: sections of paragraphs, lists and tables.

Texts may hold `code` and **strong** words, as Markdown has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A head, and rows of as many cells."""

    head: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command of a list, that is too long for a line of text."""

    name: str
    command: str


Block = str | Table | Items | Command
"""A paragraph, or one of the others."""


@dataclass(frozen=True)
class Section:
    """A topic. `blocks` are the report's, under `title` where it has one; `lines` are what the console says of it, as a name and
    a value each.
    """

    title: str = ""
    blocks: tuple[Block, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


def shown(blocks: Iterable[Block | None]) -> tuple[Block, ...]:
    """Those that say something: no empty text, table or list."""
    return tuple(block for block in blocks if block is not None and block != "" and not _empty(block))


def _empty(block: Block) -> bool:
    return (isinstance(block, Table) and not block.rows) or (isinstance(block, Items) and not block.items)
