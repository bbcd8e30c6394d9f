"""Every error a user can meet, its exit code and the style of its message.

A message is one line: what is wrong, with its key or value and its numbers, then `` ; `` and what to write instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from compiler.frozen import dataclass

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


LONGEST = 1900
"""Characters of a problem; with a word before it, its line is still under 2,000."""


def shown(text: str) -> str:
    """What no terminal obeys: control characters, and those that turn the direction of writing, are escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def line(text: str, most: int = LONGEST) -> str:
    """A text on one line that can be shown; a long one loses its middle."""
    words = " ".join(text.split())
    found = shown(words if len(words) <= 2 * most else words[:most] + words[-most:])
    half = (most - 5) // 2
    return found if len(found) <= most else f"{found[:half]} ... {found[-half:]}"


@dataclass(frozen=True)
class Problem:
    """One finding of a user's mistake: what is wrong, and what to write instead. As a text it shows no secret."""

    what: str
    instead: str

    def __str__(self) -> str:
        from compiler.secrets import redacted

        instead = line(redacted(self.instead), LONGEST // 2)
        return f"{line(redacted(self.what), LONGEST - len(instead) - 3)} ; {instead}"

    def of(self, job: str) -> Problem:
        """The same of a sweep's job, which has been named by its overrides."""
        return replace(self, what=f"{line(job, 200)}: {self.what}") if job else self


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
