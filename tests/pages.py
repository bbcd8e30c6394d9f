"""A page read back by an HTML parser: its elements, their nesting, and the numbers that they say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

VOID = ("meta", "br", "link", "img", "input", "hr")


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    inside: list[Element] = field(default_factory=list)
    text: str = ""


class Page(HTMLParser):
    """Raises where an element is closed that is not the one that is open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self.open, [element.tag for element in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        assert len(made.attributes) == len(attrs), f"an attribute of {tag} stands twice"
        self.all.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes what is not open"

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def of(self, tag: str) -> list[Element]:
        return [element for element in self.all if element.tag == tag]


def numbers(page: Page) -> list[tuple[str, str]]:
    """Every path of `plan.json` that the page says a number of, and that number."""
    marked = [element.attributes.get("data-plan", "") for element in page.all]
    return [tuple(pair.split("=", 1)) for text in marked for pair in text.split()]  # type: ignore[misc] # two of each


def found(folder: Path, path: str) -> Any:
    """What a path leads to, in `plan.json` or in the file before `#`."""
    file, _, keys = path.rpartition("#")
    if file.endswith(".npz"):
        return _sparse(folder / file, *keys.rsplit(".", 2))
    value: Any = json.loads((folder / (file or "plan.json")).read_text(encoding="utf-8"))
    for key in keys.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _sparse(file: Path, matrix: str, row: str, column: str) -> int:
    """An entry of a matrix by rows."""
    parts = np.load(file)
    start, stop = parts[f"{matrix}.indptr"][int(row) : int(row) + 2]
    at = parts[f"{matrix}.indices"][start:stop].tolist().index(int(column))
    return int(parts[f"{matrix}.data"][start + at])
