"""Frameworks and schedulers that live in other packages, found by their entry points.

A package names its adapter or its target, as in

    [project.entry-points."rankplan.frameworks"]
    mine = "mine.rankplan:ADAPTER"

    [project.entry-points."rankplan.schedulers"]
    mine = "mine.scheduler:TARGET"

and `framework=mine` or `scheduler=mine` takes it. Ours come first. What lies beside an adapter of ours in its package (`prove.py`,
`versions.yaml`, `parser/`) lies beside theirs.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

FRAMEWORKS, SCHEDULERS = "rankplan.frameworks", "rankplan.schedulers"
_OURS = {FRAMEWORKS: ("compiler.frameworks", True), SCHEDULERS: ("compiler.schedulers.targets", False)}
"""Group -> the package of ours, and whether each of them is a package itself."""


def names(group: str) -> list[str]:
    """All of a group, found without loading any."""
    return sorted({*ours(group), *theirs(group)})


@cache
def ours(group: str) -> frozenset[str]:
    """Those of this package."""
    package, packages = _OURS[group]
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return frozenset(item.name for item in found if item.ispkg or not packages)


@cache
def theirs(group: str) -> dict[str, Any]:
    """Entry points by name. Looking for them reads every installed package, so it is left until a name is not one of ours."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=group) if point.name not in ours(group)}


def module(group: str, name: str) -> str | None:
    """Where a framework or scheduler is; None for an unknown name."""
    if name in ours(group):
        return f"{_OURS[group][0]}.{name}"
    return theirs(group)[name].module if name in theirs(group) else None


def load(group: str, name: str, attribute: str) -> Any:
    """What a name stands for; None for an unknown one."""
    if name in ours(group):
        return getattr(importlib.import_module(f"{_OURS[group][0]}.{name}"), attribute)
    return theirs(group)[name].load() if name in theirs(group) else None


def folder(name: str) -> Path:
    """Where the files of a framework lie: the folder of its adapter's package."""
    found = importlib.import_module(module(FRAMEWORKS, name) or f"compiler.frameworks.{name}")
    return Path(str(found.__file__)).parent
