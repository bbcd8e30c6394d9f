"""Everything about ranks that later passes read: grids, groups, stages, experts, slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.slots import Slots
from compiler.cluster.spans import SPANS, spans
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.groups import Groups
from compiler.layout.stages import Stages
from compiler.specs.config import Config
from compiler.specs.degrees import Degrees


@dataclass(frozen=True)
class Cached:
    """What a server caches of a token in a layer, in bytes: of an `element` of keys and values (None: as wide as the workload says),
    or of the whole `row` of latent attention where that is packed in a form of its own; and of the key of an `index`er. `shards`:
    ranks that share a sequence's tokens (None: those of cp).
    """

    element: float | None = None
    row: float | None = None
    index: float = 0.0
    shards: int | None = None


@dataclass(frozen=True)
class World:
    """The ranks of one instance, in closed form: its grids, and `kinds` of groups, those of the plan's axes first. `slots` covers
    every instance's nodes, the first one's first. `mtp_stage` is the virtual stage of the MTP layers, counted from the last;
    `interleaved_group` the micro-batches that a chunk has in a row.

    `graph_batch`: sequences of an attention-DP rank up to which a server decodes by captured CUDA graphs; None for any number.
    `combine_bytes`: of an element that experts send back; None for as many as activations have.
    `cached`: what a server's layers cache. `copies`: of what ZeRO cuts, each whole in itself.
    """

    config: Config
    degrees: Degrees
    attention: Grid
    expert: Grid
    stages: Stages
    experts: ExpertBlocks
    slots: Slots
    kinds: Mapping[str, GroupKind]
    padded_vocab_size: int
    mtp_stage: int
    interleaved_group: int
    graph_batch: int | None = None
    combine_bytes: float | None = None
    cached: Cached = Cached()
    copies: int = 1
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
