"""How many replicas one leaf takes with it: as planned, packed on as few leaves as they fit, and spread over all.

Packed replicas talk within a leaf and die one by one; replicas that each have a node on every leaf all stop with any of them.
"""

from __future__ import annotations

import numpy as np

from compiler.failures.losses import Cluster
from compiler.failures.replicas import Replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks


@dataclass(frozen=True)
class WorstLeaf:
    """`replicas` of `count` stop with `leaf` (`nodes` nodes with ranks); `packed` and `spread` would with the worst leaf of either."""

    leaf: str
    pod: str
    nodes: int
    replicas: int
    count: int
    packed: int
    spread: int


def worst_leaf(machines: Cluster, copies: Replicas) -> WorstLeaf:
    """The first of the leaves that take most replicas with them."""
    slots = machines.slots
    taken = _taken(slots.leaf[machines.slot], copies.of, copies.count)
    worst = int(np.argmax(taken))
    used = np.unique(machines.slot)
    nodes = np.bincount(slots.leaf[used], minlength=len(slots.leaf_names))
    pod = int(slots.pod[np.flatnonzero(slots.leaf == worst)[0]])
    size = copies.members.shape[1]
    row = np.repeat(np.arange(copies.count), size)  # replicas side by side, node by node
    packed = _taken(slots.leaf[machines.slot[np.argsort(machines.slot, kind="stable")]], row, copies.count)
    per_node = max(1, slots.share.ranks // size)
    return WorstLeaf(
        leaf=slots.leaf_names[worst],
        pod=slots.pod_names[pod],
        nodes=int(nodes[worst]),
        replicas=int(taken[worst]),
        count=copies.count,
        packed=int(packed.max()),
        spread=int(np.minimum(nodes * per_node, copies.count).max()),
    )


def _taken(leaf: Ranks, replica: Ranks, count: int) -> Ranks:
    """Replicas that have a rank on each leaf, shape [leaves]."""
    pairs = np.unique(leaf * count + replica)
    return np.bincount(pairs // count)
