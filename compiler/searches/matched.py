"""Which plans of two pools go together: the framework's rules, asked once for each two kinds of server that differ to one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import numpy as np
from numpy.typing import NDArray

from compiler.checks import Status
from compiler.frameworks.adapter import Adapter, adapter
from compiler.frameworks.transfers import Facing
from compiler.searches.feasible import Feasible
from compiler.searches.plans import Index
from compiler.searches.space import Space
from compiler.searches.watched import Watched

Pool = tuple[Space, Feasible]


def matched(fill: Pool, step: Pool) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which pairs rules let pass, shape [prefill, decode], and how many pairs each rule refuses."""
    framework = adapter(fill[0].config.framework.name)
    allowed, refused = np.ones([len(found.plans) for _, found in (fill, step)], dtype=bool), Counter[str]()
    for (own, first), (other, second) in product(*(_kinds(framework, pool).items() for pool in (fill, step))):
        failed = next((each.id for each in framework.between(own, other) if each.status is Status.FAIL), None)
        if failed is not None:
            allowed[np.ix_(first, second)] = False
            refused[failed] += len(first) * len(second)
    return allowed, dict(refused)


def _kinds(framework: Adapter, pool: Pool) -> dict[Facing, Index]:
    """The plans of each kind; one of all those that agree on what is read is asked, until no more is read."""
    space, plans = pool[0], pool[1].plans
    watched, read = Watched(space.config, space.keys), dict[str, None]()
    while True:
        known, found = len(read), defaultdict[Facing, list[Index]](list)
        for kind in plans.kinds(np.arange(len(plans)), list(read)):
            watched.point(space.point(plans, int(kind[0])))
            found[framework.facing(watched.config)].append(kind)
            read |= dict.fromkeys(plans.based(watched.read))
        if len(read) == known:
            return {facing: np.concatenate(parts) for facing, parts in found.items()}
