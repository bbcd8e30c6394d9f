"""How each collective runs, as data: what a rank sends within its NVLink domain and out of it, and how many latencies are in a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.constants import PEER_S
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Algorithm:
    """`passes` of the message over the group, by `trees` (of domains, and of ranks in each); all peers at once; or (`pair`) from one
    rank to the next. `peer_s`: seconds that each peer adds. `measured_as`: operations whose curve it takes, the first that there is.
    """

    passes: int
    measured_as: tuple[str, ...]
    trees: bool = True
    pair: bool = False
    peer_s: float = 0.0

    def sent(self, size: Array) -> Array:
        """Part of the message that a rank sends in a group of so many."""
        return np.ones_like(size) if self.pair else self.passes * (size - 1) / size

    def shares(self, size: Array, domains: Array) -> tuple[Array, Array]:
        """Parts of the message that a rank sends within its domain and out of it."""
        each = size / domains
        if self.pair:
            return array(domains == 1), array(domains > 1)
        if not self.trees:
            return (each - 1) / size, (size - each) / size
        return self.passes * (each - 1) / each, self.passes * (domains - 1) / domains / each

    def hops(self, size: Array, domains: Array) -> tuple[Array, Array]:
        """Latencies in a row, within a domain and between domains."""
        each = size / domains
        if self.pair:
            return array(domains == 1), array(domains > 1)
        if not self.trees:
            return array(each > 1), array(domains > 1)
        return self.passes * np.ceil(np.log2(each)), self.passes * np.ceil(np.log2(domains))


_POINT_TO_POINT = ("all_to_all", "all_gather", "reduce_scatter", "all_reduce")

ALGORITHMS: Mapping[str, Algorithm] = {
    "all_reduce": Algorithm(2, ("all_reduce", "reduce_scatter", "all_gather")),
    "all_gather": Algorithm(1, ("all_gather", "reduce_scatter", "all_reduce")),
    "reduce_scatter": Algorithm(1, ("reduce_scatter", "all_gather", "all_reduce")),
    "all_to_all": Algorithm(1, _POINT_TO_POINT, trees=False, peer_s=PEER_S),
    "send_recv": Algorithm(1, _POINT_TO_POINT, trees=False, pair=True),
}
"""all_reduce is reduce_scatter and all_gather; point to point is measured as all_to_all between two."""
