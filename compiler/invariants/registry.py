"""Where rules register, and how their modules are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator

from compiler.checks import Check
from compiler.costs.total import Costs
from compiler.specs.config import Config
from compiler.world import World

Declared = Callable[[Config], Iterator[Check]]
LaidOut = Callable[[World], Iterator[Check]]
Costed = Callable[[World, Costs], Iterator[Check]]

DECLARED: list[Declared] = []
LAID_OUT: list[LaidOut] = []
COSTED: list[Costed] = []


def declared(rule: Declared) -> Declared:
    """A rule over the configuration."""
    DECLARED.append(rule)
    return rule


def laid_out(rule: LaidOut) -> LaidOut:
    """A rule over the ranks and where they sit."""
    LAID_OUT.append(rule)
    return rule


def costed(rule: Costed) -> Costed:
    """A rule over the costs."""
    COSTED.append(rule)
    return rule


def load() -> None:
    """Import every module of rules."""
    package = importlib.import_module("compiler.invariants")
    for item in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"compiler.invariants.{item.name}")


def place(rule: Declared | LaidOut | Costed) -> tuple[str, int]:
    """Where a rule is written: checks come in that order, whichever module somebody imported first."""
    return rule.__module__, rule.__code__.co_firstlineno
