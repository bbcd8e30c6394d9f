"""What failures are asked of: the layout of a plan, as it was compiled or as its folder says."""

from __future__ import annotations

from typing import Protocol

from compiler.cluster.slots import Slots
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid
from compiler.layout.groups import Groups
from compiler.layout.stages import Stages


class LaidOut(Protocol):
    """Grids, groups and stages of one instance, the slots of all of them; `size` is ranks of one instance."""

    @property
    def attention(self) -> Grid: ...
    @property
    def expert(self) -> Grid: ...
    @property
    def stages(self) -> Stages: ...
    @property
    def experts(self) -> ExpertBlocks: ...
    @property
    def slots(self) -> Slots: ...
    @property
    def groups(self) -> Groups: ...
    @property
    def size(self) -> int: ...
    @property
    def instances(self) -> int: ...
