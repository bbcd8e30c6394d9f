"""How many instances of two pools a cluster has room for together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.share import Share, split
from compiler.costs.arrays import Array, array
from compiler.frozen import dataclass
from compiler.specs.hardware import Hardware


@dataclass(frozen=True)
class Counts:
    """Instances of both pools and the nodes that they take together, arrays of one length."""

    prefill: Array
    decode: Array
    nodes: Array

    def __len__(self) -> int:
        return len(self.nodes)

    def take(self, index: NDArray[np.intp]) -> Counts:
        return Counts(*(values[index] for values in vars(self).values()))


def counts(hardware: Hardware, gpus: int, prefill: int, decode: int) -> Counts:
    """All of instances of so many ranks: the pools on nodes of their own, or where these are too few decode on what prefill leaves of
    its last one.
    """
    first, second = (split(size, hardware.node.gpus) for size in (prefill, decode))
    grid = np.meshgrid(np.arange(1, gpus // prefill + 1), np.arange(1, gpus // decode + 1), indexing="ij")
    fillers, decoders = (each.ravel() for each in grid)
    few, most = fillers * prefill + decoders * decode <= gpus, -(-gpus // hardware.node.gpus)
    fillers, decoders = fillers[few], decoders[few]
    nodes = first.nodes * -(-fillers // first.seats) + second.nodes * -(-decoders // second.seats)
    for at in np.flatnonzero(nodes > most) if _alike(hardware) else ():
        nodes[at] = _shared(first, second, int(fillers[at]), int(decoders[at])) or nodes[at]
    good = nodes <= most
    return Counts(array(fillers[good]), array(decoders[good]), array(nodes[good]))


def _alike(hardware: Hardware) -> bool:
    """Whether a server costs the same wherever it sits on a node."""
    return hardware.inventory is None and not 1 < hardware.nvlink.domain_gpus < hardware.node.gpus


def _shared(first: Share, second: Share, fillers: int, decoders: int) -> int | None:
    """Nodes of both where they share one."""
    behind = second.behind(first.used(fillers))
    return None if behind is None else first.all_nodes(fillers) - 1 + behind.all_nodes(decoders)
