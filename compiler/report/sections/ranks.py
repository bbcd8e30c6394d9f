"""Where ranks are: leaf by leaf and node by node, with the groups that each is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from compiler.cluster.layout import Layout
from compiler.cluster.slots import Slots
from compiler.layout.grid import Grid
from compiler.plan import Plan
from compiler.report.blocks import Section
from compiler.report.figures import MOST, GroupsOf, RankGrid
from compiler.words import called

REPORT, CONSOLE = (45, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        stages = plan.world.attention.coordinate("pp").tolist()
        names = [f"stage {stage}" for stage in range(max(stages) + 1)]
        yield Section(
            "Ranks", (grid(plan.world, "The later its pipeline stage, the stronger its color.", stages, names),)
        )


def grid(
    layout: Layout, shaded: str, shades: Sequence[int], names: Sequence[str], path: str = "world_size"
) -> RankGrid:
    """The first instance; `shaded` says what colors mean, the others are those of a RankGrid."""
    slots, each = layout.slots, layout.slots.share.ranks
    used = np.flatnonzero(np.bincount(slots.slot(np.arange(0, layout.size, each, dtype=np.int64))))
    hosts = slots.hosts or ("",) * slots.count
    first = " of the first instance" if layout.instances > 1 else ""
    square = "a rank, a frame its node, a block of frames a leaf" if layout.size <= MOST else "a node, a block a leaf"
    return RankGrid(
        name="ranks",
        title=f"{layout.size:,} ranks{first} on {len(used):,} node{'s' * (len(used) != 1)}",
        about=f"A square is {square}. {shaded}",
        ranks=layout.size,
        each=each,
        nodes=tuple((int(slot), hosts[slot]) for slot in used),
        leaves=tuple(_leaves(slots, used.tolist())),
        kinds=tuple(
            GroupsOf(kind, found.members, found.bases, layout.worst_span(kind)) for kind, found in layout.kinds.items()
        ),
        axes=(_axes(layout.attention), _axes(layout.expert)),
        shades=tuple(shades),
        names=tuple(names),
        path=path,
    )


def _axes(grid: Grid) -> tuple[tuple[str, int, int], ...]:
    return tuple((axis.axis, axis.size, axis.stride) for axis in grid.axes)


def _leaves(slots: Slots, used: list[int]) -> Iterator[tuple[str, int]]:
    """Runs of nodes on one leaf, with its name and its pod's where there are several."""
    start = 0
    several = len(slots.pod_names) > 1
    for at in range(1, len(used) + 1):
        if at == len(used) or slots.leaf[used[at]] != slots.leaf[used[start]]:
            pod = f"{called('pod', slots.pod_names[slots.pod[used[start]]])}, " if several else ""
            yield f"{pod}{called('leaf', slots.leaf_names[slots.leaf[used[start]]])}", at - start
            start = at
