"""What a framework makes of its arguments, held against the plan: values by name, the same way for every framework.

Each has a table of what the plan rests on (`planned`) and reads the same names from its own resolved configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from compiler.frameworks.proof import Finding, compared
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Resolved:
    """Values that a framework resolved; or `stopped`, the reason why it did not. `said`: lines that it logged on the way."""

    values: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = ""
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Least:
    """A planned value that anything as large serves."""

    value: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float)) and other >= self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return f"{self.value:g} or more"


@dataclass(frozen=True)
class OneOf:
    """A planned value that has several names."""

    names: frozenset[str | None]

    def __eq__(self, other: object) -> bool:
        return other in self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __str__(self) -> str:
        return " or ".join(sorted(map(str, self.names)))


def findings(planned: Mapping[str, Any], found: Resolved) -> Iterator[Finding]:
    """One for each planned value, with what was logged of it where it was overridden; one alone where the framework stopped."""
    stopped = found.stopped
    yield Finding("arguments resolved by the framework", not stopped, "accepted", stopped or "accepted")
    if not stopped:
        yield from values(planned, found)


def values(planned: Mapping[str, Any], found: Resolved) -> Iterator[Finding]:
    """The same of a framework that has resolved its arguments."""
    for name, value in planned.items():
        own = found.values[name]
        item = compared(f"resolved {name}", value, own)
        words = name.lower().replace("_", " ").split()
        why = [line for line in found.said if not item.equal and any(word in line.lower() for word in words)]
        yield replace(item, found=f"{item.found} ({why[0]})") if why else item
