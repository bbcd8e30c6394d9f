"""A user who pastes: what each error line offers, put into the overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compiler.errors import CompilerError

_PAIR = re.compile(r"(?<!\S)(~?[a-z][\w.]*(?:/\w+)?)=(\S*)")


def alternatives(line: str) -> list[tuple[str, ...]]:
    """Sets of overrides that a line offers behind its semicolon, joined by `or`."""
    instead = line.rpartition(" ; ")[2]
    parts = (_PAIR.findall(part) for part in re.split(r",? or ", instead))
    return [tuple(f"{key}={value.rstrip(',.:?')}" for key, value in part) for part in parts if part]


def pasted(overrides: Sequence[str], more: Sequence[str]) -> list[str]:
    keys = {item.partition("=")[0] for item in more}
    return [*(item for item in overrides if item.partition("=")[0] not in keys), *more]


def refused(overrides: Sequence[str]) -> list[str]:
    """The error lines of a compile, none where it succeeds; nothing is written."""
    from compiler.api import compile_plan

    try:
        compile_plan(list(overrides))
    except CompilerError as error:
        return [str(problem) for problem in error.problems]
    return []
