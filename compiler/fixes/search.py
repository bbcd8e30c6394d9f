"""The compiler, asked of every fix before it is printed: which sets of overrides it takes, with the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as of
from itertools import chain, islice

from compiler import passes, pools
from compiler.errors import CompilerError, Problem
from compiler.fixes import candidates, change, degrees
from compiler.fixes.candidates import Overrides
from compiler.specs import fields
from compiler.specs.config import Config

Load = Callable[[Sequence[str]], Config]

_OF_DEGREES = re.compile(r"\b(tp|cp|pp|vpp|ep|etp|dp|adp|degrees|instances|parallel|stages?|nodes)[0-9]*\b")

DEPTH = 4
"""Overrides, or sets of them, that may have to go together."""

WIDTH = 8
"""Problems of a trial that are mended in their turn."""

SHOWN = 3
"""Alternatives of a line."""

LONGER = 2
"""Overrides that an alternative may have more than the shortest."""

LOOKS = 300
"""Degrees that a search looks at."""

RANKS = 1000
"""Ranks that cost as much to lay out as the rest of a trial does."""


@dataclass
class Budget:
    """What may be tried for one compile, or for a whole sweep: 1 is a look at the declared rules, about 3 ms."""

    left: float = 400.0


@dataclass
class Search:
    """`given` are the user's overrides, which made `config`; `load` composes others."""

    config: Config
    given: Sequence[str]
    load: Load
    budget: Budget
    seen: dict[frozenset[str], tuple[Problem, ...] | None] = of(default_factory=dict)

    def mends(self, problem: Problem) -> list[Overrides]:
        """Sets that compile, each begun to mend this problem: what does it at once, else what does with others."""
        starts = list(self._ready(problem))
        found = [start for start, ready in starts if ready]
        for depth in range(1, DEPTH):
            for start, _ in starts if not found else ():
                solved = self.solved(start, depth)
                found += [solved] if solved and len(found) < SHOWN else []
        tidy = list(dict.fromkeys(self._tidy(item, candidates.role(problem)) for item in found))
        short = min(map(len, tidy), default=0) + LONGER
        return sorted((item for item in tidy if len(item) <= short), key=len)[:SHOWN]

    def _ready(self, problem: Problem) -> Iterator[tuple[Overrides, bool]]:
        """Sets to begin with, and whether each compiles as it is; enough of those end the search."""
        count = 0
        for start, searched in self._starts(problem):
            if count == SHOWN or (searched and count and not _OF_DEGREES.search(problem.instead)):
                return
            ready = self.refused(start) == ()
            count += ready
            yield start, ready

    def _starts(self, problem: Problem) -> Iterator[tuple[Overrides, bool]]:
        """Sets to begin with, and whether they come from the search of degrees: first where ranks are what is wrong."""
        first = problem.what.startswith("world-size")
        searched = ((item, True) for item in self._degrees(self.config, problem))
        named = ((item, False) for item in candidates.of(problem, self.config))
        yield from chain(searched, named) if first else chain(named, searched)

    def solved(self, chosen: Overrides, depth: int = DEPTH) -> Overrides | None:
        """The set itself where it compiles, else with what mends the problems that it leaves or makes."""
        left = self.refused(chosen)
        if not left:
            return chosen if left == () else None
        config = self._config(chosen)
        if depth == 0 or config is None:
            return None
        for more in self._further(config, left):
            joined = _joined(chosen, more)
            solved = self.solved(joined, depth - 1) if joined else None
            if solved or self.budget.left <= 0:
                return solved
        return None

    def _further(self, config: Config, left: Sequence[Problem]) -> Iterator[Overrides]:
        for problem in left[:WIDTH]:
            yield from islice(candidates.of(problem, config), 2)
        yield from self._degrees(config, left[0])

    def _degrees(self, config: Config, problem: Problem) -> Iterator[Overrides]:
        """Degrees whose declared rules hold; those that the memory of a tried one rules out too are left out."""
        role = candidates.role(problem)
        if role is None and config.workload.pools is not None:
            return
        own = candidates.view(config, role)
        nodes = own.hardware.nodes if role is None else degrees.pool_nodes(config, role)
        tried: list[degrees.Target] = []
        looked = 0
        if problem.what.removeprefix(f"{role}: ").startswith("memory:"):
            tried.append(degrees.Target(own.degrees, own.framework.instances, nodes))
        for target in [*degrees.nearest(own, nodes), *degrees.grown(own, nodes)] if nodes > 0 else ():
            if self.budget.left <= 0:
                return
            if any(degrees.fuller(target, other) for other in tried) or target.same(own):
                continue
            looked += 1
            if looked > LOOKS:
                return
            self.budget.left -= 0.3
            if not passes.holds(degrees.laid(own, target)):
                continue
            chosen = degrees.overrides(own, target, self.given, role)
            yield chosen
            if any("memory:" in item.what for item in self.seen.get(frozenset(chosen), None) or ()):
                tried.append(target)

    def _tidy(self, solved: Overrides, role: str | None) -> Overrides:
        """Degrees as `parallel=` where they are all that changes, else each that does."""
        after = self._config(solved)
        rest = tuple(item for item in solved if change.key(item) != "parallel" and not degrees.is_degree(item))
        if role is not None or after is None or len(rest) == len(solved) or any(map(degrees.is_group, rest)):
            return solved
        target = degrees.Target(after.degrees, self.config.framework.instances, self.config.hardware.nodes)
        short = degrees.overrides(self.config, target, self.given, alone=not rest)
        same = self._config((*short, *rest))
        tidy = tuple(dict.fromkeys((*short, *rest)))
        return tidy if same is not None and same.degrees == after.degrees else solved

    def refused(self, chosen: Overrides) -> tuple[Problem, ...] | None:
        """What the compiler refuses of the set, with the user's overrides; None where it cannot be tried, or no more."""
        key = frozenset(chosen)
        if key not in self.seen and self.budget.left > 0:
            self.seen[key] = self._tried(chosen)
        return self.seen.get(key)

    def _tried(self, chosen: Overrides) -> tuple[Problem, ...] | None:
        config = self._config(chosen)
        if config is None:
            return None
        self.budget.left -= 1
        try:
            if any(fields.problems(config)):
                return None
            pools.tried(config)
        except CompilerError as error:
            self.budget.left -= _whole(config) if passes.holds(config) else 0
            return error.problems
        self.budget.left -= _whole(config)
        return ()

    def _config(self, chosen: Overrides) -> Config | None:
        try:
            if any(change.key(item) in change.GROUPS for item in chosen):
                self.budget.left -= 50
                return self.load(changed(self.given, chosen))
            return change.applied(self.config, chosen, changed(self.given, chosen))
        except (CompilerError, KeyError, TypeError):
            return None


def _whole(config: Config) -> float:
    """What it takes to lay out and to cost, in looks at the declared rules."""
    return (15 if config.workload.pools is None else 60) * (1 + config.hardware.gpus / RANKS)


def changed(given: Sequence[str], chosen: Overrides) -> list[str]:
    """The user's overrides with others, each in the place of its key."""
    keys = {change.key(item) for item in chosen}
    return [*(item for item in given if change.key(item) not in keys), *chosen]


def _joined(chosen: Overrides, more: Overrides) -> Overrides | None:
    """Both; of a list of arguments the later, which holds the earlier. None where they say two things of one key."""
    keys = {change.key(item) for item in more}
    both = {key for key in map(change.key, chosen) if key in keys}
    if any(not key.endswith("args") for key in both):
        return None
    return (*(item for item in chosen if change.key(item) not in both), *more)
