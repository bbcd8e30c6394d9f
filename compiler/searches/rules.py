"""Which plans every rule lets pass: each rule is asked once for each kind of plan that differs in what it reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field  # noqa: TID251 - what changes while it works is not frozen
from typing import Any

import numpy as np

from compiler.checks import Check, Later, Status, apart
from compiler.errors import CompilerError
from compiler.searches.plans import Index, Numbers, Plans
from compiler.searches.space import Space
from compiler.searches.watched import Unchosen, Watched

Rule = Callable[..., Iterator[Check]]

UNREADABLE = "unreadable"
"""Stands for the id of a rule that raised an error."""


@dataclass
class Asked:
    """Asks rules of the plans of a space. `refused`: how many plans each rule was the first to refuse; `raised`: the first error of one
    that could not answer.
    """

    space: Space
    watched: Watched = field(init=False)
    refused: dict[str, int] = field(default_factory=dict)
    raised: CompilerError | None = None

    def __post_init__(self) -> None:
        self.watched = Watched(self.space.config, self.space.keys)

    def passing(self, plans: Plans, rules: Sequence[Rule], each: int | Numbers = 1) -> tuple[Plans, list[Rule]]:
        """The plans that every rule lets pass, and the rules that want to know more of them. Each stands for `each` plans."""
        count = np.broadcast_to(each, len(plans))
        self.watched.unchosen = frozenset(self.space.keys) - frozenset(plans.chosen)
        left, more = np.arange(len(plans)), list[Rule]()
        for rule in rules:
            bad, decided = self._refused(plans, Later(rule, (self.watched.config,)), left)
            if not decided:
                more.append(rule)
            for name, index in bad.items():
                self.refused[name] = self.refused.get(name, 0) + int(count[index].sum())
                left = np.setdiff1d(left, index, assume_unique=True)
        return plans.take(left), more

    def _refused(self, plans: Plans, rule: Later, index: Index) -> tuple[dict[str, Index], bool]:
        """Those of `index` that a rule refuses, by the id of its check; and whether it has answered for all of them."""
        found, others = defaultdict[str, list[Index]](list), dict[tuple[Any, ...], tuple[Later, list[Index]]]()
        decided, pending = True, [(index, tuple[str, ...]())] if len(index) else []
        while pending:
            these, keys = pending.pop()
            known = dict.fromkeys(keys)  # what the rule has read so far of any of these
            for kind in plans.kinds(these, keys):
                name, later, read, complete = self._ask(plans, rule, int(kind[0]))
                known |= dict.fromkeys(plans.based(read))
                if any(np.ptp(plans.column(key)[kind]) for key in known if key in read and key not in keys):
                    pending.append((kind, tuple(known)))
                elif name is not None:
                    found[name].append(kind)
                else:
                    decided &= complete
                    for other in later:
                        others.setdefault(other.key, (other, []))[1].append(kind)
        for other, parts in others.values():
            left = np.sort(np.concatenate(parts))
            for gone in found.values():
                left = np.setdiff1d(left, np.concatenate(gone), assume_unique=True)
            bad, complete = self._refused(plans, other, left)
            decided &= complete
            for name, refused in bad.items():
                found[name].append(refused)
        return {name: np.concatenate(parts) for name, parts in found.items()}, decided

    def _ask(self, plans: Plans, rule: Later, at: int) -> tuple[str | None, list[Later], Mapping[str, None], bool]:
        """The id of the first check that fails for one plan, the rules that are asked apart, what was read, and whether it got to an
        end.
        """
        self.watched.point(self.space.point(plans, at))
        name, complete, later = None, True, list[Later]()
        try:
            with apart() as later:
                name = next((check.id for check in rule() if check.status is Status.FAIL), None)
        except Unchosen:
            complete = False
        except CompilerError as error:
            self.raised, name = self.raised or error, UNREADABLE
        return name, later, dict(self.watched.read), complete
