"""How far the groups of many plans reach: in closed form where ranks lie in the plan's own order on nodes that are filled one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.spans import SPANS
from compiler.costs.arrays import Array, array
from compiler.costs.comm.links import Reach, reach
from compiler.costs.many import Many
from compiler.frameworks.adapter import Adapter, adapter
from compiler.frameworks.lay_out import lay_out
from compiler.layout.groups import ATTENTION_KINDS, EXPERT_KINDS
from compiler.specs.config import Config
from compiler.specs.hardware import Within
from compiler.specs.limits import RANKS

BEYOND = float(RANKS)
"""Nodes of a leaf, and leaves of a pod, where there is only one."""

Runs = dict[str, tuple[Array, Array]]
"""Kind of groups -> ranks of each, and the distance between two that follow each other, arrays of shape [plans]."""


def reaches(config: Config, plans: Many, kinds: Sequence[str]) -> dict[str, Reach]:
    """Of each kind, arrays of shape [plans, 1]. Plans of other orders, and of known hosts, are laid out one by one."""
    found = _closed(config, plans, kinds)
    if found is not None:
        return found
    first, like = plans.distinct(plans.degrees)
    worlds = [lay_out(plans.config(config, at)) for at in first]
    return {kind: _column(kind, [reach(world, kind) for world in worlds], like) for kind in kinds}


def _column(kind: str, each: Sequence[Reach], like: NDArray[np.intp]) -> Reach:
    """Those of plans that are `like` the ones at these places."""
    size, domains = (array([getattr(one, name) for one in each])[like, None] for name in ("size", "domains"))
    spans = np.array([SPANS.index(str(one.span)) for one in each], dtype=np.int8)
    return Reach(kind, size, spans[like, None], domains)


def _closed(config: Config, plans: Many, kinds: Sequence[str]) -> dict[str, Reach] | None:
    hardware = config.hardware
    own = type(adapter(config.framework.name)).grids is Adapter.grids
    if not own or hardware.inventory is not None or hardware.within != Within():
        return None
    runs = _runs(config, plans)
    ranks = plans.tp * plans.cp * plans.adp * plans.pp
    blocks = _blocks(config, ranks)
    if blocks is None or not set(kinds) <= set(runs):
        return None
    return {kind: _reach(kind, *runs[kind], ranks, blocks) for kind in kinds}


def _runs(config: Config, plans: Many) -> Runs:
    """Kinds whose ranks are equally spaced."""
    grids, none = adapter(config.framework.name).grids(plans.declared(config)), 0 * plans.tp
    found = {}
    for grid, kinds in zip(grids, (ATTENTION_KINDS, EXPERT_KINDS), strict=True):
        for kind, axes in kinds.items():
            size, stride = none + 1, none + 1
            chosen = [axis for axis in grid.axes if axis.axis in axes]
            for axis in chosen:
                stride = none + axis.stride if axis is chosen[0] else stride
                if np.any(stride * size != axis.stride):
                    break
                size = size * axis.size
            else:
                found[kind] = size, stride
    return found


def _blocks(config: Config, ranks: Array) -> list[Array] | None:
    """Ranks in a row that share an NVLink domain, a node and its domain, a leaf, and a pod; None where one cuts another."""
    hardware = config.hardware
    gpus, wide, fabric = hardware.node.gpus, hardware.nvlink.domain_gpus, hardware.fabric
    node = np.ceil(ranks / np.ceil(ranks / gpus))
    domain = node * (wide // gpus) if wide >= gpus else np.minimum(node, wide)
    leaf = node * (fabric.nodes_per_leaf or BEYOND)
    pod = leaf * (fabric.leaves_per_pod or BEYOND)
    both = np.maximum(domain, node)
    nested = (both % domain == 0) & (both % node == 0) & ((leaf % both == 0) | (leaf >= ranks))
    return [domain, both, leaf, pod] if nested.all() else None


def _reach(kind: str, size: Array, stride: Array, ranks: Array, blocks: Sequence[Array]) -> Reach:
    """A group that begins at a place b of a block of B ranks leaves it where b + (size - 1) * stride >= B; the latest place counts."""
    ends = [_latest(size, stride, ranks, block) + (size - 1) * stride for block in blocks]
    left = [(end >= block) & (size > 1) for end, block in zip(ends, blocks, strict=True)]
    level = np.where(size > 1, 1 + sum(part.astype(np.int8) for part in left), 0).astype(np.int8)
    apart = np.where(stride >= blocks[0], size, np.floor(ends[0] / blocks[0]) + 1)
    domains = np.where(level > SPANS.index("nvlink"), apart, 1.0)
    return Reach(kind, size[:, None], level[:, None], domains[:, None])


def _latest(size: Array, stride: Array, ranks: Array, block: Array) -> Array:
    """The latest place in a block of `block` ranks at which a group begins: groups begin at `stride` ranks in a row, and again `size` *
    `stride` ranks behind them. 0 where one block holds all ranks.
    """
    period, times, several = size * stride, ranks // (size * stride), block < ranks
    common = np.gcd(period.astype(np.int64), block.astype(np.int64)).astype(float)
    found = block - common
    early = several & (times < block / common)  # it does not come round to every place
    if early.any():
        found[early] = 0.0
        for turn in range(1, int(times[early].max())):
            place = np.where(turn < times, period * turn % block, 0.0)
            found = np.where(early, np.maximum(found, place), found)
    return np.where(several, np.minimum(block - 1, found + stride - 1), 0.0)
