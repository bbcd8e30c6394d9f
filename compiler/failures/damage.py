"""What is hit by a loss, and what is left: masks over ranks -> groups, stages, experts, replicas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.cluster.layout import Layout
from compiler.failures.losses import Lost, Mask
from compiler.failures.replicas import Replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Grid, Ranks


@dataclass(frozen=True)
class Damage:
    """Ids of what is hit, ascending: ranks through all instances, groups of each instance by kind, stages and experts of any.

    `whole` are the replicas that lost nothing; `lost_stages` and `lost_experts` those of which some part is on no rank any more.
    """

    ranks: Ranks
    groups: tuple[Mapping[str, Ranks], ...]
    stages: Ranks
    experts: Ranks
    replicas: Ranks
    whole: Ranks
    lost_stages: Ranks
    lost_experts: Ranks

    @property
    def survives(self) -> bool:
        """Whether every weight is still on some rank."""
        return not len(self.lost_stages) and not len(self.lost_experts)


def damage(plan: Layout, copies: Replicas, lost: Lost) -> Damage:
    """`copies` are the plan's replicas."""
    ranks = np.flatnonzero(lost.ranks)
    own = ranks % plan.size
    hit = copies.touching(ranks)
    dense, routed = _gone(plan, lost.ranks)
    return Damage(
        ranks=ranks,
        groups=tuple(_groups(plan, mask) for mask in lost.ranks.reshape(plan.instances, plan.size)),
        stages=np.unique(plan.attention.coordinate("pp", own)),
        experts=_experts(plan, own),
        replicas=hit,
        whole=np.setdiff1d(np.arange(copies.count), hit),
        lost_stages=np.unique(plan.attention.coordinate("pp", dense)),
        lost_experts=_experts(plan, routed),
    )


def _groups(plan: Layout, mask: Mask) -> dict[str, Ranks]:
    """Groups of one instance that lost a rank."""
    if not mask.any():
        return {}
    found = {kind: np.flatnonzero(mask[table].any(axis=1)) for kind, table in plan.groups.items()}
    return {kind: index for kind, index in found.items() if len(index)}


def _experts(plan: Layout, ranks: Ranks) -> Ranks:
    """Ids of the experts that ranks of an instance hold."""
    if not plan.experts.blocks:
        return np.zeros(0, dtype=np.int64)
    moe = np.array(plan.experts.stages, dtype=bool)[plan.expert.coordinate("pp", ranks)]
    blocks = np.unique(plan.expert.coordinate("ep", ranks[moe])).tolist()
    ids = [np.arange(first, last + 1) for block in blocks for first, last in plan.experts.blocks[block]]
    return np.unique(np.concatenate(ids)) if ids else np.zeros(0, dtype=np.int64)


def _gone(plan: Layout, lost: Mask) -> tuple[Ranks, Ranks]:
    """Ranks of an instance whose shard no rank of any instance has any more: of dense layers, and of experts."""
    ranks = np.arange(plan.size, dtype=np.int64)
    dense = _shard(plan.attention, ("tp", "pp"), ranks)
    alive = np.logical_or.reduce(~lost.reshape(plan.instances, plan.size), axis=0)
    if not plan.experts.blocks:
        return ranks[~_held(dense, alive)], ranks[:0]
    routed = _shard(plan.expert, ("etp", "ep", "pp"), ranks)
    return ranks[~_held(dense, alive)], ranks[~_held(routed, alive)]


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
