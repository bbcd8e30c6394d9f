"""Degrees of many plans of one configuration, as a search tries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.frozen import dataclass
from compiler.specs.config import Config

BATCH = 4096
"""Plans in one go: enough to make numpy's own time small, few enough for a small memory."""


@dataclass(frozen=True)
class Many:
    """Degrees of each plan, arrays of one length; and of `batches`, keys of the workload that are whole numbers."""

    tp: Array
    cp: Array
    pp: Array
    vpp: Array
    ep: Array
    etp: Array
    adp: Array
    batches: Mapping[str, Array] = field(default_factory=dict)

    @property
    def degrees(self) -> dict[str, Array]:
        return {name: value for name, value in vars(self).items() if name != "batches"}

    def take(self, index: NDArray[np.intp]) -> Many:
        batches = {name: value[index] for name, value in self.batches.items()}
        return Many(**{name: value[index] for name, value in self.degrees.items()}, batches=batches)

    def alike(self) -> Iterator[NDArray[np.intp]]:
        """Indices of plans with as many stages and virtual stages, a batch at a time."""
        keys = np.stack([self.pp, self.vpp], axis=1)
        _, group = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1):
            yield from np.array_split(part, -(-len(part) // BATCH))

    def distinct(self, names: Iterable[str], *, batches: bool = False) -> tuple[list[int], NDArray[np.intp]]:
        """One plan of each kind that differs in some degrees, or in a batch where those count, and the kind of each."""
        more = self.batches.values() if batches else ()
        keys = np.stack([*(getattr(self, name) for name in names), *more], axis=1)
        _, first, kind = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return [int(at) for at in first], kind.ravel()

    def declared(self, config: Config) -> Config:
        """What all of them declare, arrays in the place of degrees."""
        degrees: dict[str, Any] = self.degrees
        return replace(config, parallel=replace(config.parallel, dp=None, **degrees))

    def config(self, config: Config, at: int) -> Config:
        """What one of them declares."""
        degrees: dict[str, Any] = {name: int(values[at]) for name, values in self.degrees.items()}
        batches: dict[str, Any] = {name: int(values[at]) for name, values in self.batches.items()}
        workload = replace(config.workload, **batches) if batches else config.workload
        return replace(config, parallel=replace(config.parallel, dp=None, **degrees), workload=workload)
