"""What a report is made of, whatever lays it out: sections of paragraphs, lists, tables and figures.

Texts may hold `code` and **strong** words, as Markdown has them.
"""

from __future__ import annotations

from collections.abc import Iterable

from compiler.frozen import dataclass
from compiler.report.figures import Figure

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


Text = str | Table | Items | Command
"""A paragraph, or one of the others."""

Block = Text | Figure
"""A figure draws numbers that stand in a table too, so that text alone can leave it out."""


@dataclass(frozen=True)
class Section:
    """A topic. `blocks` are the report's, under `title` where it has one; `lines` are what the console says of it, as a name and
    a value each. `urgent`: on a page it stands before the others.
    """

    title: str = ""
    blocks: tuple[Block, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    urgent: bool = False


def shown(blocks: Iterable[Block | None]) -> tuple[Block, ...]:
    """Those that say something: no empty text, table or list."""
    return tuple(block for block in blocks if block is not None and block != "" and not _empty(block))


def _empty(block: Block) -> bool:
    return (isinstance(block, Table) and not block.rows) or (isinstance(block, Items) and not block.items)
