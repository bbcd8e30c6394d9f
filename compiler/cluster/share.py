"""What an instance has of its nodes: so many GPUs, side by side, of each."""

from __future__ import annotations

import numpy as np

from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.specs.config import Config


@dataclass(frozen=True)
class Share:
    """An instance runs on `ranks` of the `gpus` GPUs of each of its `nodes`.

    A node has a seat for each instance that fits beside the others. Instances fill the seats node by node (or, where one spans
    several nodes, block by block), and the first `taken` seats are somebody else's: another pool's.
    """

    gpus: int
    ranks: int
    nodes: int = 1
    taken: int = 0

    @property
    def seats(self) -> int:
        """Instances that share a node."""
        return self.gpus // self.ranks

    @property
    def size(self) -> int:
        """Ranks of an instance."""
        return self.ranks * self.nodes

    @property
    def whole(self) -> bool:
        """Whether an instance has all GPUs of its nodes."""
        return self.ranks == self.gpus

    def all_nodes(self, instances: int) -> int:
        """Nodes that hold ranks, of all instances together."""
        return -(-(self.taken + instances) // self.seats) * self.nodes

    def first_node(self, instance: int) -> int:
        return (self.taken + instance) // self.seats * self.nodes

    def first_gpu(self, instance: int) -> int:
        return (self.taken + instance) % self.seats * self.ranks

    def ports_before(self, instance: int) -> int:
        """How many ports an instance leaves to those that share its node: one for each; beside another pool, one for each GPU."""
        gpu = self.first_gpu(instance)
        return gpu if self.taken else gpu // self.ranks

    def used(self, instances: int) -> int:
        """GPUs of the last node that are given away, from its first one on."""
        return self.gpus if self.nodes > 1 else self.first_gpu(instances - 1) + self.ranks

    def behind(self, gpus: int) -> Share | None:
        """The same instances on a node whose first `gpus` GPUs are given away; None where none fits beside them."""
        taken = -(-gpus // self.ranks)
        return Share(self.gpus, self.ranks, self.nodes, taken) if self.nodes == 1 and taken < self.seats else None

    def slot(self, ranks: Ranks) -> Ranks:
        """Node slot of ranks, counted through all instances."""
        found: Ranks = (self.taken + ranks // self.size) // self.seats * self.nodes + ranks % self.size // self.ranks
        return found

    def local_rank(self, ranks: Ranks) -> Ranks:
        """Number of each rank among those of its instance on its node."""
        return ranks % self.ranks

    def gpu(self, ranks: Ranks) -> Ranks:
        """GPU of its node that each rank has."""
        found: Ranks = (self.taken + ranks // self.size) % self.seats * self.ranks + ranks % self.ranks
        return found

    def holders(self, slot: int, instances: int) -> Ranks:
        """Instances with ranks on a slot, in the order of its GPUs."""
        first = slot // self.nodes * self.seats - self.taken
        return np.arange(max(first, 0), min(first + self.seats, instances), dtype=np.int64)


def split(ranks: int, gpus: int, taken_gpus: int = 0) -> Share:
    """Ranks of an instance over as few nodes of `gpus` GPUs as hold them, the same number on each.

    Where that number is not whole (invariant instance-nodes refuses it) the last node has fewer.
    """
    nodes = -(-ranks // gpus)
    each = -(-ranks // nodes)
    return Share(gpus, each, nodes, -(-taken_gpus // each) if nodes == 1 else 0)


def share(config: Config) -> Share:
    """What each instance of a configuration has of its nodes."""
    return split(config.degrees.world_size, config.hardware.node.gpus, config.hardware.within.taken_gpus)


def nodes(config: Config) -> int:
    """Nodes that a configuration's instances need."""
    return share(config).all_nodes(config.framework.instances)
