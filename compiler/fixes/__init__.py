"""What an error says to write instead, tried: the compiler itself takes each `key=value` that a line shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from compiler.errors import CompilerError, ConfigError, InvariantError, Problem
from compiler.fixes import change, text
from compiler.fixes.budget import Budget
from compiler.fixes.candidates import Overrides
from compiler.fixes.pasted import Load, changed
from compiler.fixes.search import Search
from compiler.specs.config import Config

_EXAMPLE = re.compile(r"as in |KEY=|\bkey=")
"""What shows how an override is spelt, and is none to paste."""

MEANT = "did you mean "
"""How a fix of a spelling begins."""


def tried(
    error: CompilerError, config: Config | None, given: Sequence[str], load: Load, budget: Budget | None = None
) -> CompilerError:
    """The error with fixes that compile, each with the user's own overrides `given`; what does not is prose.

    `config` is what they made, None where they made none; `load` composes others.
    """
    if not isinstance(error, (ConfigError, InvariantError)):
        return error
    budget = budget or Budget()
    problems = error.problems
    whole = isinstance(error, ConfigError) or any(change.key(item).startswith("expect") for item in given)
    search = None if config is None else Search(config, given, load, budget, problems, whole)
    found = [_mends(problem, search, given, load, budget) for problem in problems]
    shared = sorted((item for own in found for item in own), key=len)[:1]
    longest = len(shared[0]) if shared else 0
    said = [
        _said(problem, own) if own and len(own[0]) <= longest + 1 else _said(problem, shared, lead=False)
        for problem, own in zip(problems, found, strict=True)
    ]
    return type(error)(said)


def _mends(
    problem: Problem, search: Search | None, given: Sequence[str], load: Load, budget: Budget
) -> list[Overrides]:
    try:
        if search is not None:
            return search.mends(problem)
        starts = [] if _EXAMPLE.search(problem.instead) else text.named(problem.instead)[:2]
        return [found for start in starts if (found := _loaded(start, given, load, budget))]
    except Exception:  # noqa: BLE001 - a bug that only a fix meets must not hide the user's own error
        return []


def _loaded(start: Overrides, given: Sequence[str], load: Load, budget: Budget) -> Overrides | None:
    """What mends a configuration that could not be read, and whatever is found once it can."""
    if budget.left <= 0:
        return None
    budget.left -= 50
    own = changed(given, start)
    try:
        config = load(own)
    except CompilerError:
        return None
    if config.search.auto:  # its degrees are for a search to find
        return start
    search = Search(config, own, load, budget)
    solved = search.solved(())
    return None if solved is None else (*start, *solved)


def _said(problem: Problem, alternatives: Sequence[Overrides], *, lead: bool = True) -> Problem:
    """`lead`: with what the text says before it comes to write something."""
    alternatives = [item for item in alternatives if not any(" " in override for override in item)]
    if problem.instead.startswith(MEANT):
        return _meant(problem, alternatives)
    if not alternatives:
        if _EXAMPLE.search(problem.instead):
            return problem
        return replace(problem, instead=text.prose(problem.instead))
    key = text.owner(problem.instead)
    named = [item for item in alternatives if any(change.key(override) == key for override in item)]
    alternatives = [*named, *(item for item in alternatives if item not in named)]
    written = " or ".join(" ".join(item) for item in alternatives)
    before = text.prose(text.lead(problem.instead)) if lead or text.meant(problem.instead) else ""
    before = f"its key is {key}: " if key and not named else before
    return replace(problem, instead=f"{before}write {written}")


def _meant(problem: Problem, alternatives: Sequence[Overrides]) -> Problem:
    """A spelling is mended whatever else is wrong; where something is, with what mends that too."""
    if not alternatives:
        return problem
    _, mark, rest = problem.instead.partition("?")
    return replace(problem, instead=f"{MEANT}{' or '.join(' '.join(item) for item in alternatives)}{mark}{rest}")


__all__ = ["Budget", "tried"]
