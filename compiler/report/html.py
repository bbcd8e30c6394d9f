"""Sections as one HTML file, which needs nothing else: no network, and no script to be read."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from compiler.render.assets import folder
from compiler.render.engine import markup
from compiler.report.blocks import Block, Command, Items, Section, Table
from compiler.report.draw import svg
from compiler.report.draw.ranks import kinds, names
from compiler.report.figures import Figure, RankGrid
from compiler.report.told import Told, marks, of
from compiler.report.verdict import Answer

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
"""As html.escape has it, whose module brings a table of two thousand names with it."""
_MARKED = re.compile(r"\*\*(.+?)\*\*|`([^`]+)`")


class Markup(NamedTuple):
    """HTML of our own, which a template takes as it is."""

    text: str

    def __html__(self) -> str:
        return self.text


class Inline(NamedTuple):
    """A style or a script in the page, and the digest by which the page's policy lets it in."""

    text: Markup
    digest: str


def page(name: str, answers: Sequence[Answer], sections: Iterable[Section]) -> str:
    """The whole file; urgent sections stand first. The same values give the same bytes."""
    ordered = sorted((section for section in sections if section.blocks), key=lambda section: not section.urgent)
    return markup(
        "report/page.html.j2",
        name=name,
        answers=_told(answers),
        sections=list(_sections(ordered)),
        style=_inline("page.css", "layout.css"),
        script=_inline("ranks.js"),
    )


def first_screen(name: str, answers: Sequence[Answer]) -> str:
    """What a notebook shows of a plan."""
    return markup("report/first.html.j2", name=name, answers=_told(answers))


def alone(figure: Figure) -> str:
    """A figure as an SVG file of its own."""
    return svg(figure, style=_inline("page.css").text)


def _told(answers: Sequence[Answer]) -> list[dict[str, str]]:
    return [
        {"question": answer.question, "text": answer.text, "mood": answer.mood, "of": marks(of(answer.text))}
        for answer in answers
    ]


@cache
def _inline(*names: str) -> Inline:
    text = "".join((folder("templates") / "report" / name).read_text(encoding="utf-8") for name in names)
    return Inline(Markup(text), b64encode(sha256(text.encode()).digest()).decode())


def _sections(sections: Iterable[Section]) -> Iterator[dict[str, Any]]:
    for section in sections:
        anchor = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
        yield {
            "title": section.title,
            "anchor": f"section-{anchor}",
            "blocks": [_block(block, section.title) for block in section.blocks],
        }


def _block(block: Block, title: str) -> dict[str, Any]:
    if isinstance(block, Table):
        head = [words(cell) for cell in block.head]
        rows = [[(words(cell), marks(of(cell))) for cell in row] for row in block.rows]
        return {"kind": "table", "head": head, "rows": rows, "label": title or "Table"}
    if isinstance(block, Items):
        return {"kind": "items", "entries": [words(item) for item in block.items]}
    if isinstance(block, Command):
        return {"kind": "command", "name": block.name, "command": block.command}
    if isinstance(block, Figure):
        return {"kind": "figure", "title": block.title, "about": words(block.about), **_figure(block)}
    return {"kind": "text", "text": words(block)}


def _figure(figure: Figure) -> dict[str, Any]:
    found: dict[str, Any] = {"svg": Markup(svg(figure)), "kinds": [], "names": []}
    if isinstance(figure, RankGrid):
        found |= {"kinds": kinds(figure), "names": names(figure)}
    return found


def words(text: str | Told) -> Markup:
    """A text with its `code` and **strong** words as elements; all else of it stays text."""
    return Markup(_MARKED.sub(_element, text.translate(_ESCAPED)))


def _element(found: re.Match[str]) -> str:
    return f"<strong>{found[1]}</strong>" if found[1] is not None else f"<code>{found[2]}</code>"


OURS = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="rankplan">'
"""How a page of ours begins."""


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours, which another one may replace."""
    with path.open("rb") as file:
        return file.read(len(OURS)) == OURS.encode()
