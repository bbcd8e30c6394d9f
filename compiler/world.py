"""Everything about ranks that later passes read: grids, groups, stages, experts, slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.packing import Blocks
from compiler.cluster.slots import Slots
from compiler.cluster.spans import SPANS, spans
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.groups import Groups
from compiler.layout.stages import Stages
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees


@dataclass(frozen=True)
class World:
    """The ranks of one instance, in closed form: its grids, and `kinds` of groups, those of the plan's axes first. `slots` covers
    every instance's nodes, the first one's first. `traits` are what else the framework decides, `blocks` how slots are
    bound to hosts that nobody knows yet, where that was searched.
    """

    config: Config
    degrees: Degrees
    attention: Grid
    expert: Grid
    stages: Stages
    experts: ExpertBlocks
    slots: Slots
    kinds: Mapping[str, GroupKind]
    traits: Traits
    blocks: Blocks | None = None
    _spans: dict[str, NDArray[np.int8]] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Ranks of one instance."""
        return self.degrees.world_size

    @property
    def instances(self) -> int:
        return self.config.framework.instances

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.kinds)

    def spans(self, kind: str) -> NDArray[np.int8]:
        """The slowest link of each group of a kind, an index into SPANS, shape [groups]."""
        if kind not in self._spans:
            self._spans[kind] = spans(self.groups[kind], self.slots)
        return self._spans[kind]

    def worst_span(self, kind: str) -> str:
        """The farthest span of any group of a kind."""
        return SPANS[int(self.spans(kind).max())]
