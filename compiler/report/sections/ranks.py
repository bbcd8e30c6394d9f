"""Where ranks are: leaf by leaf and node by node, with the groups that each is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compiler.layout.grid import Grid
from compiler.plan import Plan
from compiler.report.blocks import Section
from compiler.report.figures import GroupsOf, RankGrid
from compiler.world import World

REPORT, CONSOLE = (45, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    if plan.alone:
        yield Section("Ranks", (_grid(plan.world),))


def _grid(world: World) -> RankGrid:
    """Of the first instance."""
    slots, each = world.slots, world.slots.share.ranks
    used = np.unique(slots.slot(np.arange(0, world.size, each, dtype=np.int64)))
    hosts = slots.hosts or ("",) * slots.count
    first = " of the first instance" if world.instances > 1 else ""
    return RankGrid(
        name="ranks",
        title=f"{world.size:,} ranks{first} on {len(used):,} nodes",
        about="A square is a rank, a frame its node, a block of frames a leaf. The later its pipeline stage, the stronger its color.",
        ranks=world.size,
        each=each,
        nodes=tuple((int(slot), hosts[slot]) for slot in used),
        leaves=tuple(_leaves(world, used.tolist())),
        kinds=tuple(
            GroupsOf(kind, found.members, found.bases, world.worst_span(kind)) for kind, found in world.kinds.items()
        ),
        axes=(_axes(world.attention), _axes(world.expert)),
        stages=tuple(world.attention.coordinate("pp").tolist()),
    )


def _axes(grid: Grid) -> tuple[tuple[str, int, int], ...]:
    return tuple((axis.axis, axis.size, axis.stride) for axis in grid.axes)


def _leaves(world: World, used: list[int]) -> Iterator[tuple[str, int]]:
    """Runs of nodes on one leaf, with its name and its pod's where there are several."""
    slots, start = world.slots, 0
    several = len(slots.pod_names) > 1
    for at in range(1, len(used) + 1):
        if at == len(used) or slots.leaf[used[at]] != slots.leaf[used[start]]:
            pod = f"pod {slots.pod_names[slots.pod[used[start]]]}, " if several else ""
            yield f"{pod}leaf {slots.leaf_names[slots.leaf[used[start]]]}", at - start
            start = at
