"""Field helpers of the specs: each says, beside a field's type, from what to what its values go.

A spec is a frozen dataclass that is also the configuration schema, so its rules are data on its fields. `ranges.py` holds
every value against them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import Field, field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.limits import CHARACTERS, ENTRIES
from compiler.specs.units import Quantity

MISSING: Any = "???"
"""No value yet: what OmegaConf asks for."""

REQUIRED: Any = dataclasses.MISSING
"""No default at all: what the constructor asks for, of dataclasses that are read from other files."""


@dataclass(frozen=True)
class Rule:
    """What a field takes: numbers from `least` to `greatest`, both inclusive and both None where it holds none; one of the
    words of `options` where there are some; at most `entries` of a list or mapping; texts of `shortest` to `longest` characters.
    """

    least: Optional[float] = None
    greatest: Optional[float] = None
    quantity: Optional[Quantity] = None
    options: tuple[str, ...] = ()
    entries: int = ENTRIES
    shortest: int = 0
    longest: int = CHARACTERS


_ANYTHING = Rule()


def rule_of(item: Field[Any]) -> Rule:
    """A field's own rule, or what holds for every field."""
    found: Rule = item.metadata.get("rule", _ANYTHING)
    return found


def _ruled(rule: Rule, default: Any) -> Any:
    """A field with a rule; a default that is called makes the value."""
    made: dict[str, Any] = {"default_factory": default} if callable(default) else {"default": default}
    return field(metadata={"rule": rule}, **made)


def choice(options: tuple[str, ...], default: Any = MISSING) -> Any:
    """A field that takes one of some words."""
    return _ruled(Rule(options=options), default)


def words(options: tuple[str, ...], default: Any = list) -> Any:
    """A list of such words."""
    return _ruled(Rule(options=options, entries=len(options)), default)


def between(least: float, greatest: float, default: Any = MISSING, quantity: Optional[Quantity] = None) -> Any:
    """A number."""
    return _ruled(Rule(least, greatest, quantity), default)


def quantity(unit: str, possible: tuple[float, float], usual: tuple[float, float], default: Any = MISSING) -> Any:
    """A physical quantity in SI units: refused outside of what is possible, warned of outside of what is usual."""
    return between(*possible, default, Quantity(unit, usual))


def fraction(default: Any = MISSING) -> Any:
    """A part of a whole that is never nothing."""
    return quantity("of 1", (0.001, 1), (0.02, 1), default)


def numbers(least: float, greatest: float, entries: int, default: Any = list) -> Any:
    """A list of numbers."""
    return _ruled(Rule(least, greatest, entries=entries), default)


def counts(greatest: float) -> Any:
    """A mapping of names to counts."""
    return _ruled(Rule(0, greatest), dict)


def text(default: Any = MISSING, *, shortest: int = 0, longest: int = CHARACTERS) -> Any:
    """A text, or a list or mapping of them, of other lengths than usual."""
    return _ruled(Rule(shortest=shortest, longest=longest), default)
