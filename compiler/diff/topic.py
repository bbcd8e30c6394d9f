"""A topic of a comparison, how values are said in it, and what of two sides it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from compiler.diff.side import Part, Side
from compiler.diff.verdict import Change
from compiler.errors import short

Key = TypeVar("Key")
MISSING = "nothing"
"""What is said of a key, a file or an option that one side has not."""


@dataclass(frozen=True)
class Topic:
    """A module of `topics/` holds one as TOPIC. `place` is its place among the others, `title` what people read over its changes."""

    name: str
    place: int
    title: str
    changes: Callable[[Side, Side], Iterator[Change]]


def pairs(old: Side, new: Side) -> Iterator[tuple[str, Part, Part]]:
    """Plans that both sides have, each with what goes before its words: `prefill ` of a pool, nothing of the only plan."""
    for role in old.parts:
        if role in new.parts:
            yield f"{role} " if role else "", old.parts[role], new.parts[role]


def differing(old: Mapping[Key, Any], new: Mapping[Key, Any]) -> Iterator[tuple[Key, Any, Any]]:
    """Keys whose values differ, with both; `Missing` where a side has none, which is as good as an empty value.

    The old side's order, then the new one's.
    """
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key, Missing), new.get(key, Missing)
        if (type(before) is not type(after) or before != after) and not (_empty(before) and _empty(after)):
            yield key, before, after


class Missing:
    """Stands for a value that is not there."""


def _empty(value: Any) -> bool:
    return value is Missing or value is None or value in ({}, [])


def said(value: Any) -> str:
    """A value in a line of text."""
    if value is Missing or value in ([], (), {}):
        return MISSING
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    if isinstance(value, (list, tuple)):
        return short(" ".join(map(said, value)))
    if isinstance(value, dict):
        return short(", ".join(f"{key}: {said(item)}" for key, item in value.items()))
    text = f"{len(value.splitlines())} lines" if isinstance(value, str) and "\n" in value else str(value)
    return short(text) or "an empty text"
