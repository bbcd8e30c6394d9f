"""What ranks that change their place must load, how many bytes, and from whom: the same rank of another replica, or the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from compiler.cluster.layout import Layout
from compiler.failures.losses import Cluster, Lost
from compiler.failures.repair import Machines, Seating
from compiler.failures.replicas import Replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks

CHECKPOINT = -1


@dataclass(frozen=True)
class Stored:
    """Bytes of a rank's weights and of its optimizer's states by stage, and up to which of both the ranks of a dp group share what
    they hold (`zero_stage`): 0 where each has all of it, 1 or 2 where states are cut, 3 where weights are too.
    """

    weights: Ranks
    optimizer: Ranks
    zero_stage: int = 0


def stored(stages: Sequence[Mapping[str, Any]], zero_stage: int) -> Stored:
    """`stages` are those of `memory` of plan.json."""
    weights, optimizer = (
        np.array([stage[key] for stage in stages], dtype=np.int64) for key in ("weights_bytes", "optimizer_bytes")
    )
    return Stored(weights, optimizer, zero_stage)


@dataclass(frozen=True)
class Move:
    """`rank` is the new plan's, counted through all instances, `was` the old one's; machines are numbers of Machines.

    Weights come from old rank `source` on `source_machine`, -1 where only the checkpoint has them; `optimizer_source` likewise.
    """

    rank: int
    was: int
    machine: int
    machine_before: int
    weights_bytes: int
    source: int
    source_machine: int
    optimizer_bytes: int
    optimizer_source: int


def moves(
    plan: Layout,
    clusters: tuple[Cluster, Cluster],
    copies: Replicas,
    places: Machines,
    lost: Lost,
    seats: Seating,
    held: Stored,
) -> list[Move]:
    """Of the ranks of `plan`, the new one, that sit elsewhere than before. `clusters` are the old and the new one, `copies` the old
    plan's replicas.
    """
    old, new = clusters
    before = old.slot[seats.was]
    now = seats.machine[new.slot]
    gone = (now != before) | (new.gpu != old.gpu[seats.was])
    ranks = np.flatnonzero(gone)
    stages = plan.attention.coordinate("pp", ranks % plan.size)
    position = copies.position
    found = []
    for rank, stage in zip(ranks.tolist(), stages.tolist(), strict=True):
        was, machine = int(seats.was[rank]), int(now[rank])
        source = CHECKPOINT if held.zero_stage > 2 else _source(copies, position, old, lost, places, was, machine)
        found.append(
            Move(
                rank=rank,
                was=was,
                machine=machine,
                machine_before=int(before[rank]),
                weights_bytes=int(held.weights[stage]),
                source=source,
                source_machine=CHECKPOINT if source == CHECKPOINT else int(old.slot[source]),
                optimizer_bytes=int(held.optimizer[stage]),
                optimizer_source=CHECKPOINT if held.zero_stage > 0 else source,
            )
        )
    return found


def _source(
    copies: Replicas, position: Ranks, old: Cluster, lost: Lost, places: Machines, was: int, machine: int
) -> int:
    """The nearest rank that has what old rank `was` had and sits on a machine that is left; of equal ones the next replica's."""
    own, column = int(copies.of[was]), int(position[was])
    having = np.roll(copies.members[:, column], -own)  # itself first, then the replicas behind it
    having = having[~lost.ranks[having] & ~lost.slots[old.slot[having]]]
    if not len(having):
        return CHECKPOINT
    homes = old.slot[having]
    distance = np.where(homes == machine, -1, places.distance(machine, homes))
    return int(having[int(np.argmin(distance))])


def total(found: Sequence[Move]) -> tuple[int, int]:
    """Bytes that come from ranks, and from the checkpoint."""
    peers = sum(move.weights_bytes for move in found if move.source != CHECKPOINT)
    peers += sum(move.optimizer_bytes for move in found if move.optimizer_source != CHECKPOINT)
    every = sum(move.weights_bytes + move.optimizer_bytes for move in found)
    return peers, every - peers
