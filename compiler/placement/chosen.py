"""The placement that is taken, as a configuration and a layout of its own, beside the default's and one sorted by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from compiler.cluster.hostlist import fold
from compiler.cluster.hosts import of_plan
from compiler.costs.calibration import Calibration
from compiler.frameworks.lay_out import lay_out
from compiler.frozen import dataclass
from compiler.placement.score import Score
from compiler.placement.search import Candidate, Found, search
from compiler.specs.config import Config
from compiler.traffic.totals import ALL, totals, traffic
from compiler.words import size
from compiler.world import World

MOST = 6
"""Placements of which the bytes between leaves are counted, to decide between those that take as long."""


@dataclass(frozen=True)
class Compared:
    """`leaf_bytes`: what each kind of groups sends between leaves; `leaves`: those that its widest group touches."""

    placement: str
    order: str
    seconds: float
    communication_s: float
    leaf_bytes: Mapping[str, float]
    leaves: Mapping[str, int]

    @property
    def crossing(self) -> float:
        return sum(self.leaf_bytes.values())


@dataclass(frozen=True)
class Chosen:
    """`declared` is what the user wrote, `config` the same with order and hosts in the place of the search, and `world` its layout."""

    declared: Config
    config: Config
    world: World
    compared: tuple[Compared, ...]
    bound: Score
    orders: int
    tried: int

    @property
    def best(self) -> Compared:
        return self.compared[-1]

    @property
    def gap(self) -> float:
        """What is taken beyond the bound, as a part of it."""
        return self.best.seconds / self.bound.seconds - 1 if self.bound.seconds else 0.0

    @property
    def communication_gap(self) -> float:
        least = self.bound.communication_s
        return self.best.communication_s / least - 1 if least else 0.0

    def to_dict(self) -> dict[str, Any]:
        """What `plan.json` holds."""
        return {
            "order": self.config.parallel.order,
            "orders": self.orders,
            "tried": self.tried,
            "bound_s": self.bound.seconds,
            "communication_bound_s": self.bound.communication_s,
            "gap": self.gap,
            "communication_gap": self.communication_gap,
            "compared": [asdict(row) for row in self.compared],
            "why": list(_why(self)),
        }


def choose(config: Config, by: Calibration) -> Chosen:
    """Of those that take least, the one that sends least between leaves."""
    found = search(config, by)
    default = _compared("default", found.default, lay_out(_with(config, found, found.default)))
    rows = [default]
    if found.by_name is not None:
        rows.insert(0, _compared("sorted by name", found.by_name, lay_out(_with(config, found, found.by_name))))
    best, row, own = found.default, default, _with(config, found, found.default)
    for candidate in _tied(found):
        other = _with(config, found, candidate)
        compared = _compared("best", candidate, lay_out(other))
        if (candidate.score.rounded, compared.crossing) < (best.score.rounded, row.crossing):
            best, row, own = candidate, compared, other
    final = replace(own, placement="default", name=config.plan_name)
    world = replace(lay_out(final), blocks=None if final.hardware.pin else best.blocks)
    rows.append(replace(row, placement="best"))
    return Chosen(config, final, world, tuple(rows), found.bound, found.orders, found.tried)


def _tied(found: Found) -> Iterator[Candidate]:
    """The best, first of each different layout."""
    seen = set[tuple[str, bytes]]()
    for one in found.better:
        key = (one.ordered.config.parallel.order, b"" if one.hosts is None else one.hosts.tobytes())
        if key not in seen:
            seen.add(key)
            yield one
        if len(seen) == MOST:
            return


def _with(config: Config, found: Found, candidate: Candidate) -> Config:
    """The configuration with a candidate's order and hosts."""
    own, room, hosts = candidate.ordered.config, found.hosts, candidate.hosts
    if room is None or hosts is None or (hosts == room.default).all():
        return own
    hardware = config.hardware
    pin = len(of_plan(hardware)) == hardware.nodes + config.launch.spare_nodes if hardware.pin is None else hardware.pin
    names = fold([room.hosts[at].host for at in hosts.tolist()])
    return replace(own, hardware=replace(hardware, hosts=names, pin=pin))


def _compared(name: str, candidate: Candidate, world: World) -> Compared:
    rows = [row for row in totals(traffic(world)) if row.kind != ALL]
    sent = dict.fromkeys((row.kind for row in rows), 0.0)
    leaves = dict.fromkeys(sent, 1)
    for row in rows:
        sent[row.kind] += row.bytes["pod"] + row.bytes["fabric"]
        leaves[row.kind] = max(leaves[row.kind], row.leaves)
    score, order = candidate.score, candidate.ordered.config.parallel.order
    return Compared(name, order, score.seconds, score.communication_s, sent, leaves)


def _why(chosen: Chosen) -> Iterator[str]:
    """In words: what is different, and what stands against less."""
    default, best = chosen.compared[-2], chosen.best
    if best.order != default.order:
        yield f"axes run as {best.order} instead of {default.order}"
    for kind, before in default.leaves.items():
        after = best.leaves.get(kind, 1)
        if after != before:
            yield f"a group of {kind} touches {after} leaves at most, {before} by default"
    for kind, sent in default.leaf_bytes.items():
        less = sent - best.leaf_bytes.get(kind, 0.0)
        if not np.isclose(less, 0.0, atol=1.0):
            yield f"{kind} sends {size(abs(less))} {'less' if less > 0 else 'more'} between leaves than by default"
    same = best.order == default.order and best.leaf_bytes == default.leaf_bytes
    if same and best.seconds == default.seconds:
        yield "no placement that was tried takes less than the default"
    if chosen.gap <= 1e-9 and chosen.communication_gap <= 1e-9:
        yield "no placement can take less: every kind has as many groups whole in a domain, leaf and pod as there is room for"
