"""Where the ranks of all instances sit, and what the widest link between two of them is."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from compiler.cluster.spans import SPANS
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.world import World

NVLINK, NODE, LEAF, POD, FABRIC = (SPANS.index(name) for name in ("nvlink", "node", "leaf", "pod", "fabric"))


@dataclass(frozen=True)
class Places:
    """Arrays over the ranks of all instances. `near` is what two ranks share that reach each other without the network: an NVLink
    domain or a node, whichever is larger.
    """

    world: World
    stage: Ranks
    domain: Ranks
    slot: Ranks
    leaf: Ranks
    pod: Ranks
    gpu: Ranks

    @property
    def ranks(self) -> int:
        return len(self.slot)

    @cached_property
    def near(self) -> Ranks:
        slots = self.world.slots
        return self.domain if slots.domain_gpus >= slots.gpus else self.slot

    def table(self, kind: str) -> Ranks:
        """Ranks of every group of a kind, of all instances, shape [groups, size]."""
        own, size = self.world.groups[kind], self.world.size
        first = np.arange(self.world.instances, dtype=np.int64) * size
        return (own[None, :, :] + first[:, None, None]).reshape(-1, own.shape[1])

    def level(self, source: Ranks, target: Ranks) -> Ranks:
        """The link that a message between two ranks crosses, an index into SPANS, as `cluster/spans.py` has it of a group of two."""
        found = np.full(len(source), FABRIC, dtype=np.int64)
        for level, ids in ((POD, self.pod), (LEAF, self.leaf), (NODE, self.slot), (NVLINK, self.domain)):
            found[ids[source] == ids[target]] = level
        return found


def places(world: World) -> Places | None:
    """None where the cluster has no room for all ranks, which a check refuses."""
    ranks = np.arange(world.size * world.instances, dtype=np.int64)
    slots = world.slots
    slot = slots.slot(ranks)
    if slot.max(initial=0) >= slots.count:
        return None
    stage = np.tile(world.attention.coordinate("pp"), world.instances)
    return Places(world, stage, slots.nvlink_domain(ranks), slot, slots.leaf[slot], slots.pod[slot], slots.gpu(ranks))
