"""A topic of a comparison, how values are said in it, and what of two sides it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from compiler.diff.side import Part, Side
from compiler.diff.verdict import Change
from compiler.errors import short
from compiler.frozen import dataclass

Key = TypeVar("Key")
FEW = 8
"""Entries of a list that are said one by one."""
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


def sides(before: Any, after: Any) -> tuple[str, str]:
    """Both values in a line of text; of long lists and texts what the other one has not."""
    lists = [_entries(value) for value in (before, after)]
    if not all(lists) or max(map(len, lists)) <= FEW:
        return said(before), said(after)
    return _only(*lists), _only(*reversed(lists))


def _entries(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return list(map(str, value))
    text = value if isinstance(value, str) else ""
    return text.splitlines() if "\n" in text else text.split(",")


def _only(entries: list[str], others: list[str]) -> str:
    known = set(others)
    found = [entry for entry in entries if entry not in known]
    if not found:
        return f"{len(entries):,} entries{', in another order' * (len(entries) == len(others))}"
    return f"{len(entries):,} entries: {short(', '.join(found))}"


def said(value: Any) -> str:
    """A value in a line of text."""
    if value is Missing or value in ([], {}):
        return MISSING
    if value == ():  # of an option
        return "given"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return short(" ".join(map(said, value)))
    if isinstance(value, dict):
        return short(", ".join(f"{key}: {said(item)}" for key, item in value.items()))
    return short(value) or "an empty text"
