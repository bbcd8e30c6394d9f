"""A fix, read from the beginning as it would be pasted: arguments that say keys are read anew, and may clash with what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from compiler import pools
from compiler.errors import CompilerError, Problem
from compiler.fixes import candidates, change
from compiler.fixes.budget import DEPTH, WIDTH, Budget
from compiler.fixes.candidates import Overrides
from compiler.specs.config import Config

Load = Callable[[Sequence[str]], Config]

COMPOSED = 50.0
"""What composing again takes, in looks at the declared rules."""


def changed(given: Sequence[str], chosen: Overrides) -> list[str]:
    """The user's overrides with others, each in the place of its key."""
    keys = {change.key(item) for item in chosen}
    return [*(item for item in given if change.key(item) not in keys), *chosen]


def joined(chosen: Overrides, more: Overrides) -> Overrides | None:
    """Both; of a list of arguments the later, which holds the earlier. None where they say two things of one key."""
    keys = {change.key(item) for item in more}
    both = {key for key in map(change.key, chosen) if key in keys}
    if any(not key.endswith("args") for key in both):
        return None
    return (*(item for item in chosen if change.key(item) not in both), *more)


def pasted(
    found: Overrides, config: Config, given: Sequence[str], load: Load, budget: Budget, depth: int = DEPTH
) -> Overrides | None:
    """The set itself where it changes no key that arguments may say, or compiles with them; else with the arguments that it needs
    left out. None where there is no such set. `config` is what the user's overrides made.
    """
    if not (_args(given) and any(change.key(item).startswith("workload.") for item in found)):
        return found
    if depth == 0 or budget.left <= 0:
        return None
    budget.left -= COMPOSED
    config, problems = _tried(changed(given, found), config, load)
    if not problems:
        return found
    for problem in problems[:WIDTH]:
        for more in islice(candidates.of(problem, config), 2):
            both = joined(found, more)
            solved = pasted(both, config, given, load, budget, depth - 1) if both else None
            if solved:
                return solved
    return None


def _args(given: Sequence[str]) -> bool:
    """Whether the user has arguments: a whole pool may hold some."""
    return any(change.key(item).endswith("args") or "args" in item.partition("=")[2] for item in given)


def _tried(overrides: Sequence[str], config: Config, load: Load) -> tuple[Config, tuple[Problem, ...]]:
    """What overrides make, and what the compiler has against it; `config` where they make nothing."""
    try:
        config = load(overrides)
        pools.tried(config)
    except CompilerError as error:
        return config, error.problems
    return config, ()
