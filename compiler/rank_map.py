"""The table of ranks: one column an array over the ranks of an instance, expanded from the grids when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.devices import devices
from compiler.cluster.layout import AXES
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.world import World

_DEVICES = ("nic", "rail", "numa")
COLUMNS = (
    *("rank", "slot", "host", "local_rank", *AXES, "layers", "experts"),
    *_DEVICES,
)


if TYPE_CHECKING:
    Columns = Mapping[str, NDArray[Any]]
else:

    class Columns(Mapping, dict):
        """A Mapping in all that it does, whose columns are expanded when they are asked for. It is a dict too, and an empty one, so that
        `pandas.DataFrame(plan.rank_map)`, which looks for one, reads it column by column.
        """


@dataclass(frozen=True, repr=False)
class RankMap(Columns):
    """column -> array of length world_size; integers, or strings for host, layers, experts and devices."""

    world: World
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in COLUMNS:
            raise KeyError(column)
        if column not in self._columns:
            found = self._expand(column)
            found.setflags(write=False)
            self._columns[column] = found
        return self._columns[column]

    def __setitem__(self, column: str, value: Any) -> None:
        raise TypeError(f"a plan's rank map does not change: {column}")

    def __repr__(self) -> str:
        return f"RankMap({self.world.size:,} ranks: {', '.join(COLUMNS)})"

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)

    def _expand(self, column: str) -> NDArray[Any]:
        world = self.world
        ranks: Ranks = np.arange(world.size, dtype=np.int64)
        if column in AXES:
            return world.coordinate(column)
        if column in ("host", "layers", "experts"):
            return self._names(column)
        if column in _DEVICES:
            of_gpu = getattr(devices(world.config.hardware, world.config.site), column)
            return np.take(np.array(of_gpu, dtype=object), world.slots.gpu(ranks))
        slots = {"slot": world.slots.slot, "local_rank": world.slots.local_rank}
        return slots[column](ranks) if column in slots else ranks

    def _names(self, column: str) -> NDArray[Any]:
        """A column of strings: looked up by slot, by stage, or by stage and ep rank."""
        world, degrees = self.world, self.world.degrees
        if column == "host":
            hosts = np.array(world.slots.hosts or [""] * world.slots.count, dtype=object)
            return np.take(hosts, self["slot"])
        if column == "layers":
            return np.take(np.array(world.stages.labels, dtype=object), self["pp"])
        labels = [world.experts.label(pp, ep) for pp in range(degrees.pp) for ep in range(degrees.ep)]
        blocks: NDArray[Any] = self["pp"] * degrees.ep + self["ep"]
        return np.take(np.array(labels, dtype=object), blocks)
