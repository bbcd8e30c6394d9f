"""A plan without what it lost: which host each slot has now, on spares near the lost ones, or with fewer copies of the model.

A copy is an instance where there are several, else a replica. Those that stay keep every host that is alive; hosts of those that
go are spares from then on. Nobody else moves: launchers that number nodes anew from 0 move all behind the lost one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compiler.cluster.inventory import Host
from compiler.cluster.layout import Layout
from compiler.failures.losses import Cluster, Lost, Mask
from compiler.failures.replicas import Replicas
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks

NEAR = ("rack", "leaf", "pod", "fabric")
"""How far a spare is from the host whose place it takes: the largest part of the network that both are in."""


@dataclass(frozen=True)
class Machines:
    """All machines of a plan by number: slot i's is i, and spares come behind. Ids of where each hangs, shape [machines].

    An unbound plan's have no names, and nobody knows where its spares will be.
    """

    names: tuple[str, ...]
    rack: Ranks
    leaf: Ranks
    pod: Ranks

    def distance(self, machine: int, others: Ranks) -> Ranks:
        """Index into NEAR from one machine to others."""
        found = np.full(len(others), len(NEAR) - 1)
        for level, ids in reversed(list(enumerate((self.rack, self.leaf, self.pod)))):
            found[ids[others] == ids[machine]] = level
        return found


def machines(cluster: Cluster, hosts: Sequence[Host], spares: int) -> Machines:
    """`hosts` are those of slots and spares, in this order; none for a plan that is not bound, which has so many `spares`."""
    slots = cluster.slots
    if hosts:
        wide = slots.domain_gpus > slots.gpus
        racks = [(host.pod, host.rack) if wide else (host.host, "") for host in hosts]
        leaves = [(host.pod, host.leaf) for host in hosts]
        ids = (_ids(racks), _ids(leaves), _ids([(host.pod, "") for host in hosts]))
        return Machines(tuple(host.host for host in hosts), *ids)
    unknown = -np.arange(1, spares + 1)
    places = (slots.domain, slots.leaf, slots.pod)
    names = (*(f"slot {slot}" for slot in range(slots.count)), *(f"spare {spare}" for spare in range(spares)))
    return Machines(names, *(np.concatenate([ids, unknown]) for ids in places))


def _ids(names: Sequence[tuple[str, str]]) -> Ranks:
    known = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Copies:
    """Ranks of each copy of the model through all instances, shape [copies, ranks]; a column holds the same in each."""

    members: Ranks
    word: str

    @property
    def count(self) -> int:
        return len(self.members)


def copies_of(plan: Layout, own: Replicas) -> Copies:
    """`own` are the plan's replicas."""
    if plan.instances > 1:
        return Copies(np.arange(plan.size * plan.instances, dtype=np.int64).reshape(plan.instances, -1), "instance")
    return Copies(own.members, "replica")


@dataclass(frozen=True)
class Seating:
    """The machine of each slot of the repaired plan, what is left over, which copies it keeps, and for each of its ranks which
    rank of the old plan it was; shapes [slots], [spares], [copies], [ranks].
    """

    machine: Ranks
    left: Ranks
    kept: Ranks
    was: Ranks


def seats(old: Cluster, copies: Copies, places: Machines, lost: Lost) -> Seating:
    """As many copies as before. The machines that are left must be enough for all slots."""
    slots = np.arange(old.slots.count, dtype=np.int64)
    there = alive(old, places, lost)
    machine = np.where(there[: len(slots)], slots, -1)
    free = np.flatnonzero(there[len(slots) :]) + len(slots)
    left = _fill(machine, slots, free, places)
    ranks = np.arange(len(old.slot), dtype=np.int64)
    return Seating(machine, left, np.arange(copies.count, dtype=np.int64), ranks)


def fewer_seats(old: tuple[Cluster, Copies], new: tuple[Cluster, Copies], places: Machines, lost: Lost) -> Seating:
    """As many copies as the new plan has: those that lost the fewest ranks stay."""
    before, after = old[0], new[0]
    kept = kept_copies(old[1], lost.ranks | lost.slots[before.slot], new[1].count)
    was = np.empty(len(after.slot), dtype=np.int64)
    was[new[1].members] = old[1].members[kept]
    there = alive(before, places, lost)
    home = before.slot[was]
    wanted = _homes(after.slot, home, after.slots.count, before.slots.count)
    machine = np.where(there[wanted], wanted, -1)
    _, first = np.unique(machine, return_index=True)
    twice = np.ones(len(machine), dtype=bool)
    twice[first] = False  # one slot keeps a machine that two would have
    machine[twice] = -1
    taken = np.zeros(len(there), dtype=bool)
    taken[machine[machine >= 0]] = True
    free = np.flatnonzero(there & ~taken)
    return Seating(machine, _fill(machine, wanted, free, places), kept, was)


def _homes(slot: Ranks, home: Ranks, slots: int, machines: int) -> Ranks:
    """For each slot the machine that most of its ranks were on, the first of equal ones, shape [slots]."""
    pairs, counts = np.unique(slot * machines + home, return_counts=True)
    found = np.zeros(slots, dtype=np.int64)
    order = np.lexsort((-pairs, counts))  # the most come last, and stay
    found[pairs[order] // machines] = pairs[order] % machines
    return found


def kept_copies(copies: Copies, lost: Mask, count: int) -> Ranks:
    """The copies that lost the fewest ranks; whole ones first, so that those who share a node with them stay beside each other."""
    hit = lost[copies.members].sum(axis=1)
    kept = np.sort(np.argsort(hit, kind="stable")[:count])
    return kept[np.argsort(hit[kept] > 0, kind="stable")]


def alive(old: Cluster, places: Machines, lost: Lost) -> Mask:
    """Which machines are left, shape [machines]."""
    gone = set(lost.spares)
    spares = [name not in gone for name in places.names[old.slots.count :]]
    return np.concatenate([~lost.slots, np.array(spares, dtype=bool)])


def _fill(machine: Ranks, wanted: Ranks, free: Ranks, places: Machines) -> Ranks:
    """Give every slot without a machine the nearest one that is free, near ones before far ones; returns those left over.

    `wanted` is the machine that a slot would have had.
    """
    left = free.tolist()
    for level in range(len(NEAR)):
        for slot in np.flatnonzero(machine < 0).tolist():
            near = np.flatnonzero(places.distance(int(wanted[slot]), np.array(left, dtype=np.int64)) <= level)
            if len(near):
                machine[slot] = left.pop(int(near[0]))
    return np.array(left, dtype=np.int64)
