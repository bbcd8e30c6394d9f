"""Names that a misspelt one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cache

ALIKE = 0.6
"""Least similarity (difflib's ratio) of two spellings of one name."""
LONGEST = 200
"""Characters of a word that may be meant as a name: difflib's time grows with their square."""


def near(word: str, names: Iterable[str], count: int = 3) -> list[str]:
    """At most `count` names that begin with `word` or hold it, or else those of similar spelling; the nearest first."""
    known, low = list(dict.fromkeys(names)), word.lower()
    if len(low) > LONGEST:
        return []
    if len(low) > 1:
        for holds in (str.startswith, str.__contains__):
            found = [name for name in known if holds(name.lower(), low)]
            if found:
                return found[:count]
    return list(_alike(low, tuple(known), count))


@cache
def _alike(word: str, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Kept: a search for what mends a plan asks the same of hundreds of plans, and each answer takes a tenth of a second."""
    return tuple(difflib.get_close_matches(word, names, count, ALIKE))


def numbered(form: str, count: int, end: str = "") -> str:
    """What to write where a number of 0 .. count-1 belongs."""
    return f"write {form}0{end}" + (f" to {form}{count - 1}{end}" if count > 1 else "")


def one_of(word: str, names: Sequence[str], key: str = "") -> str:
    """What to write in the place of `word`: what it may have meant, as a value of `key` where there is one, and all there is."""
    close = [f"{key}={name}" if key else name for name in near(word, names)]
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}{'Else write' if meant else 'write'} one of {', '.join(names)}"
