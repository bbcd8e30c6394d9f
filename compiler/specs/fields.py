"""Field helpers of the specs, and the one walk that holds every value against its declared range.

A spec is a frozen dataclass that is also the configuration schema, so its rules are data on its fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, field, fields, is_dataclass
from typing import Any

from compiler.errors import Problem
from compiler.nearest import one_of

MISSING: Any = "???"


def choice(options: tuple[str, ...], default: Any = MISSING) -> Any:
    """A field that takes one of some words."""
    return field(default=default, metadata={"choices": options})


def at_least(minimum: float, default: Any = MISSING) -> Any:
    """A numeric field (or a list of numbers) with an inclusive lower bound."""
    return field(default=default, metadata={"minimum": minimum})


def above(minimum: float, default: Any = MISSING) -> Any:
    """A numeric field with an exclusive lower bound."""
    return field(default=default, metadata={"above": minimum})


def fraction(default: Any = MISSING) -> Any:
    """A numeric field in (0, 1]."""
    return field(default=default, metadata={"above": 0.0, "maximum": 1.0})


def numbers(minimum: float, default: tuple[float, ...] = ()) -> Any:
    """A list of numbers, each with an inclusive lower bound."""
    return field(default_factory=lambda: list(default), metadata={"minimum": minimum})


def problems(spec: Any, path: str = "") -> Iterator[Problem]:
    """Yield each value of `spec`, a tree of dataclasses, that breaks its field's rule."""
    for item in fields(spec):
        value = getattr(spec, item.name)
        key = f"{path}.{item.name}" if path else item.name
        if is_dataclass(value):
            yield from problems(value, key)
        elif isinstance(value, list):
            for index, entry in enumerate(value):
                if is_dataclass(entry):
                    yield from problems(entry, f"{key}.{index}")
                else:
                    yield from _broken(item, f"{key}[{index}]", entry)
        elif value is not None:
            yield from _broken(item, key, value)


def _broken(item: Field[Any], key: str, value: Any) -> Iterator[Problem]:
    rules = item.metadata
    if "choices" in rules and value not in rules["choices"]:
        yield Problem(f"{key}={value} is not a known value", one_of(str(value), rules["choices"]))
    if not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        yield Problem(f"{key}={value} is not a finite number", "write a finite number")
    if "minimum" in rules and value < rules["minimum"]:
        yield Problem(f"{key}={value} is below {rules['minimum']}", f"write {rules['minimum']} or more")
    if "above" in rules and value <= rules["above"]:
        yield Problem(f"{key}={value} is not above {rules['above']:g}", f"write a number above {rules['above']:g}")
    if "maximum" in rules and value > rules["maximum"]:
        yield Problem(f"{key}={value} is above {rules['maximum']:g}", f"write at most {rules['maximum']:g}")
