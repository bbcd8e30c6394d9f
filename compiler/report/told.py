"""Numbers of `plan.json` in texts: each text remembers which ones it says, so that a page can be held against the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

Said = tuple[tuple[str, Any], ...]
"""Dotted paths in `plan.json`, each with the value there."""


class Told(str):
    """A text, and the numbers that it is about."""

    __slots__ = ("of",)
    of: Said

    def __new__(cls, text: str, of: Said = ()) -> Self:
        made = super().__new__(cls, text)
        made.of = of
        return made


class Number(NamedTuple):
    """A number of `plan.json` that a figure draws: what it is called, its value, and its path; none of what follows from others."""

    name: str
    value: float | None
    path: str = ""

    @property
    def of(self) -> Said:
        return ((self.path, self.value),) if self.path and self.value is not None else ()


def told(contents: Mapping[str, Any], path: str, say: Callable[[Any], str] = str, within: str = "") -> Told:
    """The value at a path, as `say` writes it; `within` is the path of `contents` itself, where that is a part of a plan's."""
    value = at(contents, path)
    return Told(say(value), ((f"{within}.{path}".lstrip("."), value),) if value is not None else ())


def numbered(contents: Mapping[str, Any], path: str, name: str) -> Number:
    """The number at a path, by a name."""
    return Number(name, at(contents, path), path)


def at(contents: Mapping[str, Any], path: str) -> Any:
    """What a dotted path leads to; entries of lists are numbers."""
    found: Any = contents
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, (list, tuple)) else found[key]
    return found


def joined(*texts: str) -> Told:
    """Texts side by side, with the numbers of all."""
    return Told("".join(texts), tuple(pair for text in texts for pair in of(text)))


def of(text: str) -> Said:
    """The numbers that a text is about; none of a plain one."""
    return text.of if isinstance(text, Told) else ()


def marks(said: Said) -> str:
    """As an attribute holds them: `path=value path=value`."""
    return " ".join(f"{path}={value}" for path, value in said)
