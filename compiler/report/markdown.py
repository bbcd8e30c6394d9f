"""Sections as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from compiler.report.blocks import Command, Items, Section, Table, Text
from compiler.report.figures import Figure


def markdown(name: str, sections: Iterable[Section]) -> str:
    """A page with the sections that have something to say."""
    return "\n\n".join([f"# {name}", *_parts(sections)]) + "\n"


def _parts(sections: Iterable[Section]) -> Iterator[str]:
    for section in sections:
        texts = [_block(block) for block in section.blocks if not isinstance(block, Figure)]
        if texts:
            yield from [f"## {section.title}"] * bool(section.title)
            yield from texts


def _block(block: Text) -> str:
    if isinstance(block, Table):
        return "\n".join([_row(block.head), f"|{'---|' * len(block.head)}", *map(_row, block.rows)])
    if isinstance(block, Items):
        return "\n".join(f"- {_text(item)}" for item in block.items)
    if isinstance(block, Command):
        return f"- {block.name}:\n\n      {block.command}"
    return _text(block)


_TAGS = re.compile(r"\\.|(`+)(?!`).+?(?<!`)\1(?!`)|<(?=[A-Za-z/!?])")
"""The beginning of an HTML element, beside what is text to Markdown anyway: an escaped letter, and `code`."""


def _text(text: str) -> str:
    """With what would be an element as text, whatever somebody is called."""
    return _TAGS.sub(lambda found: "&lt;" if found[0] == "<" else found[0], text)


def _row(cells: Iterable[str]) -> str:
    """A row stays whole, whatever is in its cells."""
    return f"| {' | '.join(' '.join(_text(cell).split()).replace('|', chr(92) + '|') for cell in cells)} |"
