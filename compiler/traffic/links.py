"""The links of a cluster: how many bytes go over each, how fast it is, and which one keeps a kind of groups longest."""

from __future__ import annotations

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.constants import PCIE_BANDWIDTH, SCALE_OUT_EFFICIENCY, scale_up_efficiency
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.traffic.crossing import Crossing
from compiler.traffic.places import FABRIC, LEAF, NODE, NVLINK, POD, Places

KINDS = ("nvlink", "pcie", "nic", "leaf", "pod")
"""A GPU's links within its NVLink domain and within its node, network cards of a node, and the uplinks of leaves and of pods."""


@dataclass(frozen=True)
class Links:
    """One kind of them: `of` is the link of each rank, shape [ranks]; `bandwidth` of each link in bytes/s per direction, shape
    [links]; `first` is the nearest span whose messages go over them, `last` the farthest.
    """

    kind: str
    of: Ranks
    bandwidth: Array
    first: int
    last: int

    def carried(self, crossing: Crossing) -> tuple[Array, Array]:
        """Bytes out of and into what hangs on each link, shape [links] each."""
        ends = (crossing.sent, crossing.received)
        sums = (end[self.first : self.last + 1].sum(axis=0) for end in ends)
        out, into = (np.bincount(self.of, weights=each, minlength=len(self.bandwidth)) for each in sums)
        return array(out), array(into)

    def shared(self, table: Ranks) -> int:
        """Groups of `table` that the busiest of them serves at a time: those with a rank on it and another one elsewhere."""
        ids = np.sort(self.of[table], axis=1)
        apart = ids[:, 0] != ids[:, -1]
        ids = ids[apart]
        new = np.ones(ids.shape, dtype=bool)
        new[:, 1:] = ids[:, 1:] != ids[:, :-1]
        return int(np.bincount(ids[new]).max(initial=0))


def links(places: Places) -> tuple[Links, ...]:
    """In the order of KINDS. Cards are dealt to GPUs as `cluster/devices.py` has it; several cards of one GPU count as one."""
    hardware = places.world.config.hardware
    gpus, nic = hardware.node.gpus, hardware.nic
    gpu = places.slot * gpus + places.gpu
    all_gpus = np.ones(places.world.slots.count * gpus)
    cards = min(nic.per_node, gpus)
    card = places.slot * cards + places.gpu * cards // gpus
    rate = nic.per_node * nic.bandwidth * SCALE_OUT_EFFICIENCY
    each = np.full(places.world.slots.count * cards, rate / cards)
    slots = places.world.slots
    above = rate / hardware.fabric.oversubscription
    near = hardware.nvlink.bandwidth * scale_up_efficiency(hardware.nvlink, "all_to_all")
    return (
        Links("nvlink", gpu, all_gpus * near, NVLINK, NVLINK),
        Links("pcie", gpu, all_gpus * PCIE_BANDWIDTH, NODE, NODE),
        Links("nic", card, each, LEAF, FABRIC),
        Links("leaf", places.leaf, array(np.bincount(slots.leaf, minlength=1)) * above, POD, FABRIC),
        Links("pod", places.pod, array(np.bincount(slots.pod, minlength=1)) * above, FABRIC, FABRIC),
    )
