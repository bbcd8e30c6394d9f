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

BATCH = 1 << 17
"""Plans times stages in one go: enough to make Python's own time small, few enough for a small memory."""


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
        first, group = self.distinct(("pp", "vpp"))
        order = np.argsort(group, kind="stable") if len(first) > 1 else np.arange(len(group))
        for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            most = max(1, BATCH // int(self.pp[part[0]]))
            yield from np.array_split(part, -(-len(part) // most))

    def distinct(self, names: Iterable[str], *, batches: bool = False) -> tuple[list[int], NDArray[np.intp]]:
        """One plan of each kind that differs in some degrees, or in a batch where those count, and the kind of each."""
        more = self.batches.values() if batches else ()
        kind = np.zeros(len(self.tp), dtype=np.int64)
        for column in (*(getattr(self, name) for name in names), *more):
            if (column != column[0]).any():
                values, code = np.unique(column, return_inverse=True)
                kind = kind * len(values) + code.ravel()
        if not kind.any():
            return [0], kind
        _, first, kind = np.unique(kind, return_index=True, return_inverse=True)
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
