"""Slurm's host list expressions: `node[001-128,130],login1` -> names, with their zeros, in the order that they are written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

MOST_HOSTS = 2**17
"""Names that one expression may stand for: twice the nodes of the largest cluster of Slurm's (65,533)."""
_DIGITS = 18


def expand(expression: str, most: int = MOST_HOSTS) -> tuple[str, ...]:
    """Every name of an expression, `most` of them at most. Raises ValueError with what is wrong with it."""
    found: list[str] = []
    for item in _items(expression):
        parts = [_part(part, most) for part in re.findall(r"\[[^\[\]]*\]|[^\[\]]+", item)]
        size = 1
        for part in parts:
            size *= len(part)
        if len(found) + size > most:
            raise ValueError(f"stands for more than {most:,} names")
        found += map("".join, itertools.product(*parts))
    return tuple(found)


def fold(names: Sequence[str]) -> str:
    """An expression that stands for names that are hosts', in their order: `expand` gives them back."""
    runs: list[tuple[str, str, str]] = []  # what all names of a run begin with, its first and its last number
    for name in names:
        head = name.rstrip("0123456789")
        digits = name[len(head) :]
        if runs and runs[-1][0] == head and _follows(runs[-1][2], digits):
            runs[-1] = (head, runs[-1][1], digits)
        else:
            runs.append((head, digits, digits))
    return ",".join(f"{head}{first}" if first == last else f"{head}[{first}-{last}]" for head, first, last in runs)


def _follows(number: str, other: str) -> bool:
    """Whether a range of so many digits counts from one number to the other."""
    return 0 < len(number) == len(other) <= _DIGITS and int(other) == int(number) + 1


def _items(expression: str) -> Iterator[str]:
    """What commas outside of brackets part."""
    depth, start = 0, 0
    for position, letter in enumerate(expression + ","):
        if letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
        if depth not in (0, 1):
            raise ValueError(f"has a {letter} too many")
        if letter == "," and depth == 0:
            item = expression[start:position].strip()
            if not item:
                raise ValueError("has an empty name between its commas" if expression.strip() else "names nobody")
            yield item
            start = position + 1
    if depth:
        raise ValueError("has a [ without its ]")


def _part(part: str, most: int) -> tuple[str, ...]:
    """Names of a bracket, or the text itself."""
    if not part.startswith("["):
        return (part,)
    names: list[str] = []
    for run in part[1:-1].split(","):
        match = re.fullmatch(rf"\s*([0-9]{{1,{_DIGITS}}})(?:-([0-9]{{1,{_DIGITS}}}))?\s*", run)
        if match is None:
            raise ValueError(f"has '{run}' where a number or a range such as 001-128 stands")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"has the range {run}, which ends before it begins")
        if len(names) + last - first >= most:
            raise ValueError(f"stands for more than {most:,} names")
        names += [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    return tuple(names)
