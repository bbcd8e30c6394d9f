"""The compiler, asked of every fix before it is printed: which sets of overrides it takes, with the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass  # noqa: TID251 - what changes while it works is not frozen
from dataclasses import field as of
from itertools import chain, count, islice

from compiler import passes, pools
from compiler.errors import CompilerError, Problem
from compiler.fixes import candidates, change, degrees, text
from compiler.fixes.budget import DEAR, DEPTH, FOUND, LONGER, LOOKS, RANKS, SHOWN, WEIGHED, WIDTH, Budget
from compiler.fixes.candidates import Overrides
from compiler.fixes.pasted import Load, changed, joined, pasted
from compiler.specs import ranges
from compiler.specs.config import Config
from compiler.specs.workload import ROLES

_OF_DEGREES = re.compile(r"\b(tp|cp|pp|vpp|ep|etp|dp|adp|degrees|instances|parallel|stages?|nodes)[0-9]*\b")
"""Words of a problem that other degrees may mend."""

BATCH = "batch"
"""The rule that more replicas break, and that a batch of another size mends."""


@dataclass
class Search:
    """`given` are the user's overrides, which made `config` and its `problems`; `load` composes others.

    `whole`: a trial is a whole compile, since what is wrong comes late in it.
    """

    config: Config
    given: Sequence[str]
    load: Load
    budget: Budget
    problems: Sequence[Problem] = ()
    whole: bool = False
    seen: dict[frozenset[str], tuple[Problem, ...] | None] = of(default_factory=dict)
    warnings: dict[frozenset[str], int] = of(default_factory=dict)
    searched: dict[tuple[frozenset[str], str | None], tuple[list[Overrides], Iterator[Overrides]]] = of(
        default_factory=dict
    )

    def mends(self, problem: Problem) -> list[Overrides]:
        """Sets that compile, each begun to mend this problem: what does it at once, else what does with others."""
        starts = list(self._ready(problem))
        found = [start for start, ready in starts if ready]
        for depth in range(1, DEPTH):
            for start, _ in starts if not found else ():
                solved = self.solved(start, depth)
                found += [solved] if solved and len(found) < SHOWN else []
        first = _of_ranks(problem) or text.meant(problem.instead) is not None
        best = self._best(found, candidates.role(problem), first=first)
        ready = (pasted(item, self.config, self.given, self.load, self.budget) for item in best)
        return list(dict.fromkeys(item for item in ready if item))

    def _best(self, found: Sequence[Overrides], role: str | None, *, first: bool) -> list[Overrides]:
        """Those with fewest warnings and then the shortest; `first`: the first of them stays so, whatever the others are."""
        short = min(map(len, found), default=0)
        near = [item for item in found if len(item) <= short + LONGER]
        kept = near[:1] if first else []
        rest = [item for item in near if item not in kept]
        rest = sorted(rest, key=lambda item: (self.warnings.get(frozenset(item), 0), len(item)))
        tidy = {frozenset(each): each for item in [*kept, *rest] for each in [self._tidy(item, role)]}
        return list(tidy.values())[: SHOWN if short <= LONGER else 1]

    def _ready(self, problem: Problem) -> Iterator[tuple[Overrides, bool]]:
        """Sets to begin with, and whether each compiles as it is; enough of those end the search."""
        enough, before = 0, self.budget.left
        for start, searched in self._starts(problem):
            dear = (before - self.budget.left) > DEAR * max(enough, 1)
            if enough >= (SHOWN if dear else WEIGHED):
                return
            found = self._beside(start) if searched else start
            ready = self.refused(found) == ()
            enough += ready
            yield found, ready

    def _beside(self, start: Overrides) -> Overrides:
        """Degrees with the batch that they need, where that is all they need."""
        left = self.refused(start) or ()
        if [_rule(problem) for problem in left] != [BATCH]:
            return start
        config = self._config(start)
        more = [] if config is None else [item for item in candidates.of(left[0], config) if joined(start, item)]
        return (*start, *more[0]) if more else start

    def _starts(self, problem: Problem) -> Iterator[tuple[Overrides, bool]]:
        """Sets to begin with, and whether they come from the search of degrees: first where ranks are what is wrong."""
        named = ((item, False) for item in candidates.of(problem, self.config))
        if self.whole or not of_degrees(problem):
            yield from named
            return
        found = self._degrees((), self.config, self.problems, candidates.role(problem))
        searched = ((item, True) for item in found)
        yield from chain(searched, named) if _of_ranks(problem) else chain(named, searched)

    def solved(self, chosen: Overrides, depth: int = DEPTH) -> Overrides | None:
        """The set itself where it compiles, else with what mends the problems that it leaves or makes."""
        left = self.refused(chosen)
        if not left:
            return chosen if left == () else None
        config = self._config(chosen)
        if depth == 0 or config is None:
            return None
        for more in self._further(chosen, config, left):
            both = joined(chosen, more)
            solved = self.solved(both, depth - 1) if both else None
            if solved or self.budget.left <= 0:
                return solved
        return None

    def _further(self, chosen: Overrides, config: Config, left: Sequence[Problem]) -> Iterator[Overrides]:
        for problem in left[:WIDTH]:
            yield from islice(candidates.of(problem, config), 2)
        if not self.whole and any(map(of_degrees, left)):
            yield from self._degrees(chosen, config, left, candidates.role(left[0]))

    def _degrees(
        self, chosen: Overrides, config: Config, left: Sequence[Problem], role: str | None
    ) -> Iterator[Overrides]:
        """Those that `_searched` finds, looked for once."""
        new = islice(self._searched(config, left, role), FOUND)
        kept, more = self.searched.setdefault((frozenset(chosen), role), ([], new))
        for index in count():
            if index == len(kept):
                kept.extend(islice(more, 1))
            if index == len(kept):
                return
            yield kept[index]

    def _searched(self, config: Config, left: Sequence[Problem], role: str | None) -> Iterator[Overrides]:
        """Degrees whose declared rules hold, but those that other overrides mend; what has no more room than one that was
        tried is left out.
        """
        if role is None and config.workload.pools is not None:
            return
        own = candidates.view(config, role)
        nodes = own.hardware.nodes if role is None else degrees.pool_nodes(config, role)
        others = frozenset(_rule(problem) for problem in left if self._of_others(problem, config))
        full: list[degrees.Target] = []
        if any(_rule(problem) == "memory" for problem in left):
            full.append(degrees.Target(own.degrees, own.framework.instances, nodes))
        larger = degrees.grown(own, nodes, max(map(_excess, left), default=1.0))
        targets = [*degrees.nearest(own, nodes), *larger] if nodes > 0 else []
        for target in [item for item in targets if not item.same(own)][:LOOKS]:
            if self.budget.left <= 0:
                return
            if any(degrees.fuller(target, other) for other in full):
                continue
            self.budget.left -= 0.3
            if passes.holds(degrees.laid(own, target), others | ({BATCH} if target.larger(own) else frozenset())):
                chosen = degrees.overrides(own, target, self.given, role)
                yield chosen
                if any(_rule(item) == "memory" for item in self.seen.get(frozenset(chosen), None) or ()):
                    full.append(target)

    def _of_others(self, problem: Problem, config: Config) -> bool:
        """Whether other overrides than degrees mend a problem."""
        return not _OF_DEGREES.search(problem.instead) and any(candidates.of(problem, config))

    def _tidy(self, solved: Overrides, role: str | None) -> Overrides:
        """Degrees as `parallel=` where they and the batch are all that changes, else each that does."""
        after = self._config(solved)
        rest = tuple(item for item in solved if change.key(item) != "parallel" and not degrees.is_degree(item))
        others = {change.key(item) for item in rest} - {"workload.global_batch_size"}
        if role is not None or after is None or len(rest) == len(solved) or others:
            return solved
        target = degrees.Target(after.degrees, self.config.framework.instances, self.config.hardware.nodes)
        short = degrees.overrides(self.config, target, self.given)
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
            if any(ranges.problems(config)):
                return None
            checks = pools.tried(config, whole=self.whole)
        except CompilerError as error:
            self.budget.left -= _whole(config) if passes.holds(config) else 0
            return error.problems
        except Exception:  # noqa: BLE001 - a bug that one trial meets loses that one, and not the user's own error
            return None
        self.budget.left -= _whole(config)
        self.warnings[frozenset(chosen)] = sum(found.status == "warn" for found in checks)
        return ()

    def _config(self, chosen: Overrides) -> Config | None:
        try:
            if any(change.key(item) in change.GROUPS for item in chosen):
                self.budget.left -= 50
                return self.load(changed(self.given, chosen))
            return change.applied(self.config, chosen, changed(self.given, chosen))
        except (CompilerError, KeyError, TypeError):
            return None


def of_degrees(problem: Problem) -> bool:
    """Whether other degrees may mend a problem: its words name some."""
    return any(_OF_DEGREES.search(text) for text in (problem.what, problem.instead))


def _excess(problem: Problem) -> float:
    """How many times the memory of a GPU a rank needs; all ranks together need as many times the GPUs, or more."""
    found = re.search(r"\bneeds .* GB \(([0-9]+)%\)", problem.what)
    return int(found[1]) / 100 if found and _rule(problem) == "memory" else 1.0


def _of_ranks(problem: Problem) -> bool:
    return _rule(problem) == "world-size"


def _rule(problem: Problem) -> str:
    """The rule that a problem is of, without the pool that it is said of."""
    words = problem.what.split(": ", 2)
    return words[1] if words[0] in ROLES and len(words) > 1 else words[0]


def _whole(config: Config) -> float:
    """What it takes to lay out and to cost, in looks at the declared rules."""
    return (15 if config.workload.pools is None else 60) * (1 + config.hardware.gpus / RANKS)
