"""Ranks that sit elsewhere, that come and that go."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compiler.diff.side import Part, Side
from compiler.diff.topic import Topic, pairs
from compiler.diff.verdict import Change, Verdict, change
from compiler.layout.grid import Ranks


def changes(old: Side, new: Side) -> Iterator[Change]:
    """Counted through all instances, as slots are."""
    for before, one, other in pairs(old, new):
        sizes = [(part.plan.size, part.plan.instances) for part in (one, other)]
        if sizes[0] != sizes[1]:
            counts = [f"{size:,} x {instances}" if instances > 1 else f"{size:,}" for size, instances in sizes]
            yield change("ranks", f"{before}ranks", counts, Verdict.RESTART)
        yield from _moved(before, one, other)
        yield from _spares(before, one, other)


def _moved(before: str, old: Part, new: Part) -> Iterator[Change]:
    found = moved(old, new)
    if found.any():
        rank, count = int(found.argmax()), int(found.sum())
        said = [_place(part, rank) for part in (old, new)]
        what = f"{before}{count:,} of {len(found):,} ranks {'moves' if count == 1 else 'move'}, the first is {rank}"
        yield change("ranks", what, said, Verdict.RESTART, count)


def moved(old: Part, new: Part) -> NDArray[np.bool_]:
    """Which ranks of both (of all instances) are on another host (or slot, where none is bound) or GPU, shape [ranks]."""
    seats = np.arange(min(part.plan.size * part.plan.instances for part in (old, new)))
    slots = [part.plan.slots for part in (old, new)]
    places = [_hosts(old, new, slot.slot(seats), index) for index, slot in enumerate(slots)]
    return np.asarray((places[0] != places[1]) | (slots[0].gpu(seats) != slots[1].gpu(seats)))


def _hosts(old: Part, new: Part, slots: Ranks, which: int) -> Ranks:
    """Hosts by number where both are bound, else slots; a plan that is bound for the first time moves nobody."""
    names = [part.plan.slots.hosts for part in (old, new)]
    if not all(names):
        return slots
    ids = {host: number for number, host in enumerate(dict.fromkeys([*names[0], *names[1]]))}
    return np.array([ids[host] for host in names[which]])[slots]


def _place(part: Part, rank: int) -> str:
    slots, seat = part.plan.slots, np.array([rank])
    slot, gpu = int(slots.slot(seat)[0]), int(slots.gpu(seat)[0])
    return f"{slots.hosts[slot] if slots.hosts else f'slot {slot}'} GPU {gpu}"


def _spares(before: str, old: Part, new: Part) -> Iterator[Change]:
    bound = [bool(part.plan.slots.hosts) for part in (old, new)]
    if bound[0] != bound[1]:
        said = ["pinned to hosts" if yes else "not bound" for yes in bound]
        yield change("ranks", f"{before}slots", said, Verdict.RESTART)
    spares = [", ".join(part.plan.slots.spares) or "none" for part in (old, new)]
    if spares[0] != spares[1]:
        yield change("ranks", f"{before}spare hosts", spares, Verdict.RESTART)


TOPIC = Topic("ranks", 3, "ranks", changes)
