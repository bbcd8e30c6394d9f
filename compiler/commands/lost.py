"""What a command is told to be lost, of a plan or of the pools that are launched together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from compiler.commands import folder
from compiler.commands.folder import PlanFolder
from compiler.errors import ConfigError, Problem, short
from compiler.failures.losses import FORMS, Cluster, Lost, lost
from compiler.specs.workload import ROLES

NUMBERED = ("slot", "domain", "gpu")
"""What each pool counts from 0 on its own."""
HELP = f"{FORMS}; in front of it prefill: or decode: where a number is one pool's"


def parts(path: Path) -> dict[str, PlanFolder]:
    """The plan by an empty name, or that of each pool by its role. Raises ConfigError for what is no plan."""
    if all(os.path.isfile(path / role / "plan.json") for role in ROLES):  # noqa: PTH113 - Path.is_file raises for a name too long
        return {role: folder.read(path / role) for role in ROLES}
    return {"": folder.read(path)}


def losses(clusters: Mapping[str, Cluster], given: Sequence[str]) -> dict[str, Lost]:
    """What each part loses. Raises ConfigError with every loss that names nothing of any part."""
    wrong: list[Problem] = []
    items: dict[str, list[str]] = {role: [] for role in clusters}
    for item in given:
        try:
            for role in _whose(clusters, item):
                items[role].append(item.removeprefix(f"{role}:"))
        except ConfigError as error:
            wrong += error.problems
    if wrong:
        raise ConfigError(wrong)
    return {role: lost(clusters[role], items[role]) for role in clusters}


def _whose(clusters: Mapping[str, Cluster], item: str) -> Iterator[str]:
    """The parts that a loss is about."""
    role, colon, _ = item.partition(":")
    named = [role] if colon and role in clusters else []
    word = item.partition("=")[0]
    if len(clusters) > 1 and not named and word in NUMBERED and not _bound(clusters, word):
        ways = " or ".join(f"{role}:{short(item)}" for role in clusters)
        raise ConfigError.of(f"--lost {short(item)}: each pool counts its own", f"write {ways}")
    errors: list[ConfigError] = []
    for each in named or list(clusters):
        try:
            lost(clusters[each], [item.removeprefix(f"{each}:")])
        except ConfigError as error:
            errors.append(ConfigError(_of(each, problem) for problem in error.problems) if each else error)
        else:
            yield each
    if len(errors) == len(named or clusters):
        raise errors[0]


def _of(role: str, problem: Problem) -> Problem:
    """As the user of two pools writes it."""
    return Problem(problem.what, re.sub(rf"\b({'|'.join(NUMBERED)})=", rf"{role}:\1=", problem.instead))


def _bound(clusters: Mapping[str, Cluster], word: str) -> bool:
    """Whether GPUs are named by their hosts."""
    return word == "gpu" and all(machines.slots.pinned for machines in clusters.values())
