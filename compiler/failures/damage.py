"""What is hit by a loss, and what is left: masks over ranks -> groups, stages, experts, replicas."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from compiler.cluster.layout import Layout
from compiler.failures import experts
from compiler.failures.losses import Lost, Mask
from compiler.failures.replicas import Replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Grid, Ranks


@dataclass(frozen=True)
class Damage:
    """Ids of what is hit, ascending: ranks through all instances, groups of each instance by kind, stages and experts of any.

    `whole` are the replicas that lost nothing; `lost_stages` and, by layer, `gone` are stages and experts of which some part is on no
    rank any more (all layers alike: `experts.EVERY`).
    """

    ranks: Ranks
    groups: tuple[Mapping[str, Ranks], ...]
    stages: Ranks
    experts: Ranks
    replicas: Ranks
    whole: Ranks
    lost_stages: Ranks
    gone: Mapping[int, Ranks]

    @property
    def lost_experts(self) -> Ranks:
        """Those of any layer."""
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *self.gone.values()]))

    @property
    def survives(self) -> bool:
        """Whether every weight is still on some rank."""
        return not len(self.lost_stages) and not self.gone


def damage(plan: Layout, copies: Replicas, lost: Lost, slots: Mapping[int, Ranks] = MappingProxyType({})) -> Damage:
    """`copies` are the plan's replicas, `slots` the expert in each slot of each layer, where a map places them."""
    ranks = np.flatnonzero(lost.ranks)
    own, placed = ranks % plan.size, experts.rows(plan, slots)
    hit = copies.touching(ranks)
    alive = np.logical_or.reduce(~lost.ranks.reshape(plan.instances, plan.size), axis=0)
    return Damage(
        ranks=ranks,
        groups=tuple(_groups(plan, mask) for mask in lost.ranks.reshape(plan.instances, plan.size)),
        stages=np.unique(plan.attention.coordinate("pp", own)),
        experts=experts.held(plan, placed, own),
        replicas=hit,
        whole=np.setdiff1d(np.arange(copies.count), hit),
        lost_stages=np.unique(plan.attention.coordinate("pp", _gone(plan, alive))),
        gone=experts.gone(plan, placed, alive),
    )


def _groups(plan: Layout, mask: Mask) -> dict[str, Ranks]:
    """Groups of one instance that lost a rank."""
    if not mask.any():
        return {}
    found = {kind: np.flatnonzero(mask[table].any(axis=1)) for kind, table in plan.groups.items()}
    return {kind: index for kind, index in found.items() if len(index)}


def _gone(plan: Layout, alive: Mask) -> Ranks:
    """Ranks of an instance whose shard of dense layers no rank of any instance has any more."""
    ranks = np.arange(plan.size, dtype=np.int64)
    return ranks[~_held(_shard(plan.attention, ("tp", "pp"), ranks), alive)]


def _shard(grid: Grid, axes: tuple[str, ...], ranks: Ranks) -> Ranks:
    """A number for each different set of coordinates."""
    found = np.zeros_like(ranks)
    for axis in axes:
        found = found * grid.size(axis) + grid.coordinate(axis, ranks)
    return found


def _held(shards: Ranks, alive: Mask) -> Mask:
    """Whether some rank that is alive has the shard of each rank."""
    held: Mask = np.bincount(shards[alive], minlength=int(shards.max()) + 1)[shards] > 0
    return held
