"""The walk over a spec that holds every value against its field's rule, also what is in a mapping or list without a type."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from typing import Any, get_args, get_origin, get_type_hints

from compiler.errors import Problem, short
from compiler.nearest import one_of
from compiler.specs.fields import Rule, rule_of
from compiler.specs.limits import DEPTH, WHOLE
from compiler.specs.units import Quantity, written

TOLD = 100
"""Bad values of one configuration that are told."""

Field = tuple[str, Rule, int]
"""A name, its rule, and how many lists and mappings within each other its type is."""

Value = tuple[str, Rule, Any, int]
"""A dotted key, its field's rule, a value, and how many lists and mappings within each other it may be."""


def problems(spec: Any, path: str = "") -> Iterator[Problem]:
    """Yield each value of `spec`, a tree of dataclasses, that breaks its field's rule."""
    found = (problem for value in _walk((path, Rule(), spec, 0), _fields) for problem in _broken(*value))
    yield from islice(found, TOLD)


def unusual(spec: Any) -> Iterator[tuple[str, Quantity, float, str]]:
    """Yield each quantity that nothing of today or soon has: its key, what is usual, the value, and what to write instead."""
    for key, rule, value, _ in _walk(("", Rule(), spec, 0), _measured):
        known = rule.quantity
        if known is not None and isinstance(value, (int, float)) and known.unusual(value):
            meant = _meant(key, known, value)
            yield key, known, value, f"write {meant}" if meant else f"check that it is in {known.unit}"


def _walk(found: Value, known: Callable[[Any], tuple[Field, ...]]) -> Iterator[Value]:
    """A value and all that is in it, as far as it is not too long or too deep; of a dataclass the `known` fields."""
    yield found
    key, rule, value, nested = found
    if is_dataclass(value):
        kind: Any = type(value)
        for item, own, depth in known(kind):
            yield from _walk((f"{key}.{item}" if key else item, own, getattr(value, item), depth), known)
    elif isinstance(value, (list, tuple, dict)) and len(value) <= rule.entries and nested:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            named = isinstance(value, dict) or is_dataclass(part)
            within = (f"{key}.{short(name)}" if named else f"{key}[{name}]", rule, part, nested - 1)
            yield from _walk(within, known)


@cache
def _measured(spec: Any) -> tuple[Field, ...]:
    """Those of the fields that are a quantity or hold one."""
    hints = get_type_hints(spec)
    return tuple(item for item in _fields(spec) if item[1].quantity or any(map(_measured, _specs(hints[item[0]]))))


def _specs(hint: Any) -> Iterator[Any]:
    """The dataclasses that a type is made of."""
    if is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _specs(part)


@cache
def _fields(spec: Any) -> tuple[Field, ...]:
    """The fields of a dataclass."""
    hints = get_type_hints(spec)
    return tuple((item.name, rule_of(item), _nested(hints[item.name])) for item in fields(spec))


def _nested(hint: Any) -> int:
    if hint is Any:
        return DEPTH
    inner = [_nested(part) for part in get_args(hint)]
    return max(inner, default=0) + (get_origin(hint) in (list, dict, tuple, Mapping))


def _broken(key: str, rule: Rule, value: Any, nested: int) -> Iterator[Problem]:
    if value is None:
        if key.endswith("]"):
            yield Problem(f"{key} has no value", "write one, or leave the entry out")
    elif is_dataclass(value) or isinstance(value, (list, tuple, dict)):
        yield from _crowded(key, rule, value, nested)
    elif rule.options:
        if value not in rule.options:
            yield Problem(f"{key}={short(value)} is not a known value", one_of(str(value), rule.options))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _out_of_range(key, rule, value)
    elif rule.least is not None:
        yield Problem(f"{key}={short(value)} is no number", f"write a number from {rule.least:g} to {rule.greatest:g}")
    elif isinstance(value, str):
        yield from _length(key, rule, value)


def _crowded(key: str, rule: Rule, value: Any, nested: int) -> Iterator[Problem]:
    if rule.options and nested == DEPTH:
        yield Problem(f"{key}={short(value)} is a list or a mapping", one_of("", rule.options))
    elif is_dataclass(value):
        return
    elif not nested:
        yield Problem(f"{key}={short(value)} is one list or mapping too many", "write one value in its place")
    elif len(value) > rule.entries:
        yield Problem(f"{key} has {len(value)} entries", f"write at most {rule.entries}")
    for name in value if isinstance(value, dict) else ():
        if not isinstance(name, str) or not 0 < len(name) <= rule.longest:
            yield Problem(f"{key} has the key {short(name)}", f"write a text of 1 to {rule.longest} characters")


def _length(key: str, rule: Rule, value: str) -> Iterator[Problem]:
    if not rule.shortest <= len(value) <= rule.longest:
        most = f"{rule.shortest} to {rule.longest}" if rule.shortest else f"at most {rule.longest}"
        yield Problem(f"{key}={short(value)} has {len(value)} characters", f"write {most}")


def _out_of_range(key: str, rule: Rule, value: float) -> Iterator[Problem]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem(f"{key}={value} is not a finite number", "write a finite number")
        return
    least, greatest = (-WHOLE, WHOLE) if rule.least is None or rule.greatest is None else (rule.least, rule.greatest)
    unit = f" {rule.quantity.unit}" if rule.quantity and rule.quantity.unit != "of 1" else ""
    meant = f", or {found}" if rule.quantity and (found := _meant(key, rule.quantity, value)) else ""
    if value < least:
        yield Problem(f"{key}={short(value)} is below {_bound(least)}{unit}", f"write {_bound(least)} or more{meant}")
    elif value > greatest:
        yield Problem(
            f"{key}={short(value)} is above {_bound(greatest)}{unit}", f"write at most {_bound(greatest)}{meant}"
        )


def _bound(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _meant(key: str, known: Quantity, value: float) -> str:
    """The one or two likeliest values that were meant, as overrides."""
    whole = isinstance(value, int)
    found = [
        f"{key}={written(meant, whole=whole)} if {unit} was meant" for meant, unit in islice(known.meant(value), 2)
    ]
    return ", or ".join(found)
