"""What a test reaches, found in its code and in that of the helpers and fixtures that it calls: the marks that follow from it.

`process`: it starts processes. `framework`: it imports a framework, or proves against one. `compiles`: it compiles whole plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

RULES = {
    "process": re.compile(r"(subprocess|multiprocessing)\.|os\.fork$"),
    "framework": re.compile(
        r"compiler\.frameworks\.\w+\.(prove|installed)|tests\.wheels|(torch|transformers|jax|vllm|sglang|megatron)\."
    ),
    "compiles": re.compile(r"compiler\.(api|cli|passes|pools|rankplan|sweep|config\.load)\."),
}


SKIPPED = ("torch", "transformers", "jax")


def marks(item: pytest.Item) -> Iterator[str]:
    """The names of the rules that a test is found by."""
    if not isinstance(item, pytest.Function):
        return iter(())
    found = reached(item.obj)
    for fixtures in item._fixtureinfo.name2fixturedefs.values():
        found |= frozenset().union(*(reached(fixture.func) for fixture in fixtures))
    return (name for name, rule in RULES.items() if any(rule.match(place) for place in found))


@cache
def reached(value: Any) -> frozenset[str]:
    """Places (`module.name`) that a function leads to through what it names, as far as that is the tests' own."""
    seen: set[str] = set()
    left = [value]
    while left:
        function = left.pop()
        function = getattr(function, "__func__", getattr(function, "__wrapped__", function))
        for place, found in _named(function):
            if place in seen:
                continue
            seen.add(place)
            if place.startswith(("tests.", "test_", "conftest.")):
                left += _functions(found)
    return frozenset(seen)


def _functions(value: Any) -> list[Any]:
    return [item for item in vars(value).values() if callable(item)] if isinstance(value, type) else [value]


def _named(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function's code names of its module's, or of a module that it names."""
    if not isinstance(function, FunctionType):
        return
    names = {*_names(function.__code__)}
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType):
            yield f"{value.__name__}.", value
            yield from ((f"{value.__name__}.{part}", vars(value)[part]) for part in names if part in vars(value))
        elif value is not None:
            yield f"{getattr(value, '__module__', None) or ''}.{name}", value
        else:
            yield f"{name}.", None  # imported within


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)
        elif const in SKIPPED:  # what pytest.importorskip is given
            yield const
