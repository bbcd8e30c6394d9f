"""The Layout: where ranks, layers and experts are, in closed form; to the dictionary that `plan.json` holds, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.share import Share, split
from compiler.cluster.slots import Slots
from compiler.cluster.spans import SPANS, spans
from compiler.frozen import dataclass
from compiler.glossary import AxisName
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Axis, Grid, GroupKind, Ranks, Run
from compiler.layout.groups import Groups
from compiler.layout.stages import Stages

ATTENTION = (AxisName.TP, AxisName.CP, AxisName.DP, AxisName.PP)
AXES = tuple(AxisName)
"""What a rank has a coordinate on: axes of the attention grid, then of the expert grid."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The ranks of one instance: its grids, and `kinds` of groups, those of the plan's axes first. `slots` covers every
    instance's nodes, the first one's first.
    """

    instances: int
    attention: Grid
    expert: Grid
    stages: Stages
    experts: ExpertBlocks
    slots: Slots
    kinds: Mapping[str, GroupKind]
    _spans: dict[str, NDArray[np.int8]] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Ranks of one instance."""
        return self.attention.world_size

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.kinds)

    def coordinate(self, axis: str, ranks: Ranks | None = None) -> Ranks:
        """Of each rank (default: all of an instance) on one of AXES."""
        return (self.attention if axis in ATTENTION else self.expert).coordinate(axis, ranks)

    def spans(self, kind: str) -> NDArray[np.int8]:
        """The slowest link of each group of a kind, an index into SPANS, shape [groups]."""
        if kind not in self._spans:
            self._spans[kind] = spans(self.groups[kind], self.slots)
        return self._spans[kind]

    def worst_span(self, kind: str) -> str:
        """The farthest span of any group of a kind."""
        return SPANS[int(self.spans(kind).max())]

    def to_dict(self) -> dict[str, Any]:
        """What `plan.json` says of it; where each slot is, of a size that grows with the nodes, is in `slots.csv`."""
        return {
            "world_size": self.size,
            "instances": self.instances,
            "grids": self.grids(),
            "groups": [
                {"kind": kind, "count": found.count, "size": found.size, "members": found.members, "bases": found.bases}
                for kind, found in self.kinds.items()
            ],
            "stages": self.stages.to_list(),
            "experts": {
                "blocks": self.experts.blocks,
                "moe_stages": self.experts.stages,
                **({"by_layer": True} if self.experts.by_layer else {}),
            },
            "slots": {
                "count": self.slots.count,
                "gpus": self.slots.gpus,
                "pinned": self.slots.pinned,
                "spares": list(self.slots.spares),
                **_share(self.slots.share),
            },
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any], slots: Slots, /, **more: Any) -> Self:
        """What `to_dict` wrote, on the slots that `slots.csv` lists; `more` are the other fields of what is a Layout and more.

        Raises what malformed values raise: KeyError, TypeError, ValueError.
        """
        stated, experts = written["slots"], written["experts"]
        first_gpu = int(stated.get("share", {}).get("first_gpu", 0))
        share = split(int(written["world_size"]), int(stated["gpus"]), first_gpu)
        return cls(
            instances=int(written["instances"]),
            attention=_grid(written["grids"]["attention"]),
            expert=_grid(written["grids"]["expert"]),
            stages=Stages(tuple(tuple((int(a), int(b)) for a, b in stage["chunks"]) for stage in written["stages"])),
            experts=ExpertBlocks(
                tuple(map(_runs, experts["blocks"])),
                tuple(map(bool, experts["moe_stages"])),
                by_layer=bool(experts.get("by_layer", False)),
            ),
            slots=replace(slots, spares=tuple(stated["spares"]), given=share),
            kinds={
                str(row["kind"]): GroupKind(_runs(row["members"]), _runs(row["bases"])) for row in written["groups"]
            },
            **more,
        )

    def grids(self) -> dict[str, list[dict[str, Any]]]:
        """Axes of both grids, fastest first."""
        return {
            name: [asdict(axis) for axis in grid.axes]
            for name, grid in (("attention", self.attention), ("expert", self.expert))
        }


def _share(share: Share) -> dict[str, Any]:
    """What an instance has of its nodes, where that is not all of them."""
    return (
        {} if share.whole else {"share": {"gpus": share.ranks, "nodes": share.nodes, "first_gpu": share.first_gpu(0)}}
    )


def _runs(pairs: Sequence[Sequence[int]]) -> tuple[Run, ...]:
    return tuple((int(size), int(stride)) for size, stride in pairs)


def _grid(axes: Sequence[Mapping[str, Any]]) -> Grid:
    return Grid(tuple(Axis(str(axis["axis"]), int(axis["size"]), int(axis["stride"])) for axis in axes))
