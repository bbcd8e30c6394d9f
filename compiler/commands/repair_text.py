"""A repair as it is printed: who moves where, what that loads from whom, and what the new places cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from compiler.failures import moves
from compiler.failures.repair import NEAR
from compiler.frozen import dataclass
from compiler.plan import Plan
from compiler.repairs.standing import Repaired
from compiler.words import gigabytes, seconds, several

SHOWN = 8
"""Machines that are printed one by one."""
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Told:
    """One plan's repair, `made` what it became; `role` is the pool's, empty where there is one plan."""

    role: str
    plan: Plan
    repair: Repaired
    made: Plan

    def to_dict(self) -> dict[str, Any]:
        """What --json prints."""
        found, pinned = self.repair, self.plan.world.slots.pinned
        return {
            "plan": self.plan.name,
            "copies": found.standing.graph.copies.word,
            "kept": sorted(found.seats.kept.tolist()),
            "of": found.standing.graph.copies.count,
            "hosts": list(found.hosts) if pinned else [],
            "spares": list(found.spares) if pinned else found.part.launch.spare_nodes,
            "moves": [self._move(move) for move in found.moves],
            "spans": {kind: list(pair) for kind, pair in self._spans().items()},
            "step_time_s": self._steps(),
            "renumbered_by_launchers": found.renumbered,
            "notes": list(found.notes),
        }

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        found, copies = self.repair, self.repair.standing.graph.copies
        start = f"{self.role}: " * bool(self.role)
        kept, ranks = len(found.seats.kept), len(found.moves)
        goes = f"{kept} of {several(copies.count, copies.word)} {'goes' if kept == 1 else 'go'} on"
        yield f"{start}{self.plan.name}: {goes}, {several(ranks, 'rank')} {'moves' if ranks == 1 else 'move'}"
        moved = sum(host != was for host, was in zip(found.hosts, self.plan.world.slots.hosts, strict=False))
        if found.renumbered and self.plan.world.slots.pinned:
            yield (
                f"  {moved} of {several(len(found.hosts), 'node')} {'changes its' if moved == 1 else 'change their'} place;"
                f" a launcher that numbers nodes anew would renumber {found.renumbered}"
            )
        for line in (*found.notes, *self._places(), *self._loads(), *self._costs()):
            yield f"  {line}"
        spares = found.part.launch.spare_nodes
        left = found.spares if self.plan.world.slots.pinned else (several(spares, "node"),) * (spares > 0)
        yield (
            f"  spares left: {', '.join(left[:SHOWN])}{', ...' * (len(left) > SHOWN)}"
            if left
            else "  spares left: none"
        )

    def _move(self, move: moves.Move) -> dict[str, Any]:
        names = self.repair.standing.graph.machines.names
        weights = (
            CHECKPOINT if move.source == moves.CHECKPOINT else {"rank": move.source, "host": names[move.source_machine]}
        )
        return {
            "rank": move.rank,
            "was": move.was,
            "from": names[move.machine_before],
            "to": names[move.machine],
            "near": self._near(move.machine_before, move.machine),
            "weights_bytes": move.weights_bytes,
            "weights_from": weights,
            "optimizer_bytes": move.optimizer_bytes,
            "optimizer_from": CHECKPOINT if move.optimizer_source == moves.CHECKPOINT else weights,
        }

    def _near(self, before: int, machine: int) -> str:
        places = self.repair.standing.graph.machines
        return NEAR[int(places.distance(before, np.array([machine], dtype=np.int64))[0])]

    def _places(self) -> Iterator[str]:
        """Machines in the place of others."""
        names = self.repair.standing.graph.machines.names
        changed: dict[tuple[int, int], int] = {}
        for move in self.repair.moves:
            key = (move.machine_before, move.machine)
            changed[key] = changed.get(key, 0) + 1
        for (before, machine), count in list(changed.items())[:SHOWN]:
            where = (
                f"to other GPUs of {names[before]}"
                if before == machine
                else f"from {names[before]} to {names[machine]} (same {self._near(before, machine)})"
            )
            yield f"{several(count, 'rank')} {where}"
        if len(changed) > SHOWN:
            yield f"and from {len(changed) - SHOWN} more; --json has all"

    def _loads(self) -> Iterator[str]:
        """Bytes, and whom they come from: of the first rank, and of all."""
        found, names = self.repair.moves, self.repair.standing.graph.machines.names
        if not found:
            return
        first = found[0]
        of_rank = f"old rank {first.source} on {names[first.source_machine]}"
        weights = f"the {CHECKPOINT}" if first.source == moves.CHECKPOINT else of_rank
        yield f"rank {first.rank} loads {gigabytes(first.weights_bytes)} of weights from {weights}"
        if first.optimizer_bytes:
            states = f"the {CHECKPOINT}" if first.optimizer_source == moves.CHECKPOINT else weights
            yield f"and {gigabytes(first.optimizer_bytes)} of optimizer states from {states}"
        peers, checkpoint = moves.total(found)
        yield f"all together {gigabytes(peers)} from ranks that hold the same, {gigabytes(checkpoint)} from the {CHECKPOINT}"

    def _costs(self) -> Iterator[str]:
        """What the new places cost: groups that cross other links, and the step."""
        for kind, (near, far) in self._spans().items():
            yield f"{kind} groups span {far} at worst, {near} before"
        before, after = self._steps()
        if before is not None and after is not None and before != after:
            yield f"a step takes {seconds(after)}, {seconds(before)} before"

    def _spans(self) -> dict[str, tuple[str, str]]:
        """Kinds of groups whose farthest span is another one."""
        old, new = self.plan.world, self.made.world
        pairs = {kind: (old.worst_span(kind), new.worst_span(kind)) for kind in old.groups if kind in new.groups}
        return {kind: pair for kind, pair in pairs.items() if pair[0] != pair[1]}

    def _steps(self) -> list[float | None]:
        """Seconds of a training step, before and after; None where nothing is trained."""
        found = []
        for plan in (self.plan, self.made):
            train = plan.costs.to_dict()["projection"].get("train") or {}
            found.append(train.get("step_time_s"))
        return found
