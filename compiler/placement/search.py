"""The search: every order of axes that the framework can express, and for each the hosts of slots, by blocks that talk to each other.

Blocks are packed (`runtime/pack.py`); where there are few slots, and packing does not reach the bound, every placement is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from compiler import invariants
from compiler.checks import Check, Status
from compiler.cluster.packing import Blocks
from compiler.costs.calibration import Calibration
from compiler.costs.shape import shape
from compiler.errors import CompilerError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.layout.grid import Grid, Ranks
from compiler.placement import hosts as known
from compiler.placement.bound import Heaviest, Room, bound
from compiler.placement.bound import room as room_of
from compiler.placement.chains import chains
from compiler.placement.exhaustive import every
from compiler.placement.footprints import FABRIC, NVLINK, Footprints, Network, footprints
from compiler.placement.hosts import Hosts
from compiler.placement.score import Score, scores
from compiler.placement.times import Times, times
from compiler.runtime.pack import pack
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER
from compiler.traffic.places import places
from compiler.world import World


@dataclass(frozen=True)
class Ordered:
    """One order of axes: its ranks, what groups sit on, and what that takes."""

    config: Config
    world: World
    times: Times
    each: tuple[Footprints, ...]

    @property
    def far(self) -> list[Footprints]:
        """Kinds of several slots, those first that lose most by being far."""
        spread = [one for one in self.each if one.width > 1]
        return sorted(spread, key=lambda one: -self._loss(one))

    @property
    def heaviest(self) -> Heaviest | None:
        """The first of these, with the kinds that lie across it."""
        if not self.far:
            return None
        first, groups = self.far[0], self.world.groups
        own = self._group_of(first.kind)
        across = [
            kind
            for kind in (one.kind for one in self.far[1:])
            if len(np.unique(own * len(groups[kind]) + self._group_of(kind))) == self.world.size
        ]
        return Heaviest(first, frozenset(across), self.world.slots.share.ranks)

    def _group_of(self, kind: str) -> Ranks:
        """The group of each rank of an instance."""
        table = self.world.groups[kind]
        found = np.empty(self.world.size, dtype=np.int64)
        found[table] = np.arange(len(table), dtype=np.int64)[:, None]
        return found

    def _loss(self, one: Footprints) -> float:
        table = self.times.of(one.kind)
        return float(table[FABRIC, min(one.width, one.size)] - table[NVLINK, 1])


@dataclass(frozen=True)
class Candidate:
    """A placement in an order of axes; `hosts` are numbers of hosts by slot, None where none are known."""

    ordered: Ordered
    score: Score
    hosts: Ranks | None = None
    blocks: Blocks | None = None


@dataclass(frozen=True)
class Found:
    """`better`: placements that are no worse than the default, best first, the default after all that are as good; `by_name`: the
    default's hosts, names sorted as text, None where there are none; the least that any takes, and how many were tried.
    """

    default: Candidate
    by_name: Candidate | None
    better: tuple[Candidate, ...]
    bound: Score
    orders: int
    tried: int
    hosts: Hosts | None


def search(config: Config, by: Calibration) -> Found:
    """Of a configuration whose declared rules hold."""
    first = _ordered(config, by)
    room = known.hosts(config, first.world.slots.count)
    default, *others = _given(first, room)
    better, bounds, tried, least = list[Candidate](), list[Score](), 1 + len(others), default.score
    orders = [first, *(_ordered(other, by) for other in _orders(first))]
    for ordered in orders:
        bounds.append(bound(ordered.times, ordered.each, ordered.heaviest, _room(ordered.world, room)))
        if ordered is not first and least.rounded <= bounds[-1].rounded:
            continue
        made = list(_candidates(ordered, room, bounds[-1]))
        tried += len(made)
        better += [one for one in made if one.score.rounded <= default.score.rounded]
        least = min([least, *(one.score for one in better)], key=lambda score: score.rounded)
    floor = Score(min(one.seconds for one in bounds), min(one.communication_s for one in bounds))
    better.sort(key=lambda one: one.score.rounded)
    return Found(default, others[0] if others else None, tuple(better), floor, len(orders), tried, room)


def _ordered(config: Config, by: Calibration) -> Ordered:
    world = lay_out(config)
    where = places(world)
    if where is None:
        raise ValueError("the cluster has no room for the ranks")
    made = times(shape(world), by)
    return Ordered(config, world, made, tuple(footprints(where, kind) for kind in made.kinds))


def _orders(first: Ordered) -> Iterator[Config]:
    """Other orders of axes that the framework can express and that no rule objects to more; none where the user chose one."""
    config = first.config
    if config.parallel.order != DEFAULT_ORDER:
        return
    objections = {check.id for check in _checks(config, first.world) if check.status is not Status.PASS}
    seen = {_grids(first.world.attention, first.world.expert)}
    for tokens in permutations(config.parallel.order.split("-")):
        other = replace(config, parallel=replace(config.parallel, order="-".join(tokens)))
        try:
            grids = _grids(*adapter(config.framework.name).grids(other))
            if grids in seen:
                continue
            declared = [check for check in invariants.declared(other) if check.status is not Status.PASS]
            if any(check.id not in objections or check.status is Status.FAIL for check in declared):
                continue
            world = lay_out(other)
        except CompilerError:
            continue
        seen.add(grids)
        laid_out = [check for check in invariants.laid_out(world) if check.status is not Status.PASS]
        if all(check.id in objections and check.status is not Status.FAIL for check in laid_out):
            yield other


def _checks(config: Config, world: World) -> Iterator[Check]:
    yield from invariants.declared(config)
    yield from invariants.laid_out(world)


def _grids(attention: Grid, expert: Grid) -> tuple[object, ...]:
    """What makes two orders the same."""
    return tuple(tuple(axis for axis in grid.axes if axis.size > 1) for grid in (attention, expert))


def _room(world: World, room: Hosts | None) -> Room:
    """Of all hosts, or of the slots alone where no hosts are known."""
    if room is not None:
        return room.room
    slots = world.slots
    wide = slots.domain_gpus >= slots.gpus
    return room_of(Network(slots.leaf, slots.pod, slots.domain if wide else None))


def _network(ordered: Ordered, room: Hosts | None, rows: Ranks | None) -> Network:
    """Where slots hang in each of some placements; as they were laid out where no hosts are known."""
    if room is not None and rows is not None:
        return room.network(rows)
    slots = ordered.world.slots
    wide = slots.domain_gpus >= slots.gpus
    return Network(slots.leaf[None], slots.pod[None], slots.domain[None] if wide else None)


def _scored(
    ordered: Ordered, room: Hosts | None, rows: Sequence[Ranks], made: Sequence[Blocks | None]
) -> list[Candidate]:
    stacked = np.stack(rows) if rows else None
    found = scores(ordered.times, ordered.each, _network(ordered, room, stacked))
    if stacked is None:
        return [Candidate(ordered, found[0])]
    return [Candidate(ordered, one, row, chain) for one, row, chain in zip(found, rows, made, strict=True)]


def _given(first: Ordered, room: Hosts | None) -> list[Candidate]:
    """The default, and the same hosts sorted by name."""
    rows = [] if room is None else [room.default, room.by_name]
    return _scored(first, room, rows, [None] * len(rows))


def _candidates(ordered: Ordered, room: Hosts | None, least: Score) -> Iterator[Candidate]:
    """Placements in an order; every one of them where they are few and packing does not reach what none is better than."""
    if room is None or ordered.config.hardware.hosts is not None:
        yield from _scored(ordered, room, [] if room is None else [room.default], [None])
        return
    made = list(chains(ordered.far, room.count))
    rows = [room.default, *(_packed(room, chain) for chain in made), *(_in_line(room, chain) for chain in made)]
    found = _scored(ordered, room, rows, [None, *made, *(replace(chain, sizes=()) for chain in made)])
    yield from found
    if min(one.score.rounded for one in found) > least.rounded:
        all_rows = every(room)
        if all_rows is not None:
            scored = scores(ordered.times, ordered.each, room.network(all_rows))
            at = min(range(len(scored)), key=lambda index: scored[index].rounded)
            yield Candidate(ordered, scored[at], all_rows[at])


def _in_line(room: Hosts, chain: Blocks) -> Ranks:
    """Hosts as they follow each other, whatever they cut."""
    found = np.empty(room.count, dtype=np.int64)
    found[list(chain.slots)] = room.in_line
    return found


def _packed(room: Hosts, chain: Blocks) -> Ranks:
    """Hosts by slot."""
    found = np.empty(room.count, dtype=np.int64)
    found[list(chain.slots)] = room.numbers(pack(room.places, chain.sizes, room.count))
    return found
