"""Replicas: the smallest sets of ranks that are closed under tp, cp, pp, etp and ep, and so hold the model once each."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from compiler.cluster.layout import Layout
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks

CLOSED = ("tp", "cp", "pp", "etp", "ep")


@dataclass(frozen=True)
class Replicas:
    """Ranks are counted through all instances: `of` is the replica of each, shape [ranks]; `members` the ranks of each replica
    in ascending order, shape [replicas, size]. Ranks in one column of `members` hold the same layers, shards and experts.
    """

    of: Ranks
    members: Ranks

    @property
    def count(self) -> int:
        return len(self.members)

    @cached_property
    def position(self) -> Ranks:
        """Column of each rank in `members`, shape [ranks]."""
        found = np.empty_like(self.of)
        found[self.members] = np.arange(self.members.shape[1])
        return found

    def touching(self, ranks: Ranks) -> Ranks:
        """Ids of the replicas that have one of some ranks, ascending."""
        return np.unique(self.of[ranks])


def replicas(plan: Layout) -> Replicas:
    """Replicas of every instance, the first one's first; those of an instance run by their lowest rank."""
    label = _labels(plan)
    _, own = np.unique(label, return_inverse=True)
    count = int(own.max()) + 1
    of = (np.arange(plan.instances, dtype=np.int64)[:, None] * count + own[None, :]).ravel()
    members = np.argsort(of, kind="stable").reshape(count * plan.instances, -1)
    return Replicas(of, members)


def _labels(plan: Layout) -> Ranks:
    """The lowest rank of each rank's replica: each group passes on the lowest that one of its ranks knows, until none learns more."""
    label = np.arange(plan.size, dtype=np.int64)
    tables = [plan.groups[kind] for kind in CLOSED if kind in plan.groups and plan.groups.size(kind) > 1]
    while True:
        before = label.copy()
        for table in tables:
            label[table] = label[table].min(axis=1)[:, None]
        if (label == before).all():
            return label
