"""Where rules register, and how their modules are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from functools import cache, wraps
from typing import ParamSpec

from compiler.checks import Check
from compiler.frozen import dataclass

P = ParamSpec("P")
Rule = Callable[P, Iterator[Check]]


@dataclass(frozen=True)
class Moment:
    """A point of a compile at which rules run. Called with the id of a rule's checks, it is the decorator that registers the rule;
    without one, its checks name themselves.
    """

    found: list[tuple[tuple[str, int], Callable[..., Iterator[Check]]]] = field(default_factory=list)

    def __call__(self, name: str = "") -> Callable[[Rule[P]], Rule[P]]:
        def register(rule: Rule[P]) -> Rule[P]:
            @wraps(rule)
            def named(*args: P.args, **kwargs: P.kwargs) -> Iterator[Check]:
                return (check if check.id else replace(check, id=name) for check in rule(*args, **kwargs))

            self.found.append(((rule.__module__, rule.__code__.co_firstlineno), named))
            return named

        return register

    def run(self, *seen: object) -> Iterator[Check]:
        """Every check of what there is to see, in the order in which rules are written, whichever module was imported first."""
        for rule in self.rules():
            yield from rule(*seen)

    def rules(self) -> list[Callable[..., Iterator[Check]]]:
        """Every rule, in that order."""
        load()
        return [rule for _, rule in sorted(self.found, key=lambda item: item[0])]


declared, laid_out, costed = Moment(), Moment(), Moment()
"""Rules over the configuration; over the ranks and where they sit; and over those and their costs."""


@cache
def load() -> None:
    """Import every module of rules."""
    package = importlib.import_module("compiler.invariants")
    for item in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"compiler.invariants.{item.name}")
