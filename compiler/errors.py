"""Every error a user can meet, its exit code and the style of its message.

A message is one line: what is wrong, with its key or value and its numbers, then `` ; `` and what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHOWN = 60
"""Characters of a value that a message quotes."""


def short(value: Any) -> str:
    """A value as a message quotes it: the whole of a short one; of a long one its start and its length."""
    if isinstance(value, int) and value.bit_length() > 3 * SHOWN:  # Python writes no more than 4,300 digits
        return f"(a number of {int(math.log10(abs(value))) + 1:,} digits)"
    try:
        text = str(value)
    except ValueError:  # a list of such numbers
        return "(a value with a number of thousands of digits)"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


@dataclass(frozen=True)
class Problem:
    """One finding of a user's mistake: what is wrong, and what to write instead."""

    what: str
    instead: str

    def __str__(self) -> str:
        return f"{' '.join(self.what.split())} ; {' '.join(self.instead.split())}"


class CompilerError(Exception):
    """Base of all errors that are the input's or the machine's fault; carries every problem found."""

    exit_code = 1

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def of(cls, what: str, instead: str) -> CompilerError:
        return cls([Problem(what, instead)])

    def __reduce__(self) -> tuple[type[CompilerError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ConfigError(CompilerError):
    """A bad value or spelling, visible without relating it to another value."""

    exit_code = 2


class InvariantError(CompilerError):
    """Values that are fine one by one and do not fit together; every broken invariant is listed."""

    exit_code = 3


class WriteError(CompilerError):
    """The plan folder could not be written; whatever was there before is untouched."""

    exit_code = 4
