"""Hosts that a plan may have, in their order, and where each hangs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from compiler.cluster.hosts import of_plan
from compiler.cluster.inventory import Host
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.placement.bound import Room, room
from compiler.placement.footprints import Network
from compiler.runtime.pack import Path
from compiler.specs.config import Config
from compiler.words import natural


@dataclass(frozen=True)
class Hosts:
    """Those that slots may have, those of the default placement first, in its order. `per_domain`: hosts that an NVLink domain holds,
    0 where it is smaller than a host.
    """

    hosts: tuple[Host, ...]
    count: int
    per_domain: int

    @cached_property
    def index(self) -> dict[str, int]:
        return {host.host: at for at, host in enumerate(self.hosts)}

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """Pod, leaf, and NVLink domain where that holds several hosts."""
        if self.per_domain < 2:
            return tuple((host.pod, host.leaf) for host in self.hosts)
        return tuple((host.pod, host.leaf, host.rack) for host in self.hosts)

    @cached_property
    def _ids(self) -> tuple[Ranks, Ranks, Ranks]:
        leaves = _ids([(host.pod, host.leaf) for host in self.hosts])
        racks = _ids([(host.pod, host.rack) for host in self.hosts])
        own = np.arange(len(self.hosts), dtype=np.int64)
        return leaves, _ids([host.pod for host in self.hosts]), racks if self.per_domain > 1 else own

    def network(self, chosen: Ranks) -> Network:
        """Where slots hang that have these hosts, numbers of shape [..., slots]."""
        leaf, pod, domain = self._ids
        return Network(leaf[chosen], pod[chosen], domain[chosen] if self.per_domain else None)

    @cached_property
    def room(self) -> Room:
        leaf, pod, domain = self._ids
        return room(Network(leaf, pod, domain if self.per_domain else None))

    @cached_property
    def places(self) -> list[tuple[str, Path]]:
        """Hosts by pod, leaf and name, with where they hang."""
        ordered = sorted(range(len(self.hosts)), key=lambda at: _key(self.hosts[at]))
        return [(self.hosts[at].host, self.paths[at]) for at in ordered]

    @cached_property
    def default(self) -> Ranks:
        return np.arange(self.count, dtype=np.int64)

    @cached_property
    def by_name(self) -> Ranks:
        """The default's hosts as launchers sort them that know nothing of the network: names as text."""
        return np.array(sorted(range(self.count), key=lambda at: self.hosts[at].host), dtype=np.int64)

    @cached_property
    def in_line(self) -> Ranks:
        """As many hosts as there are slots, as they follow each other."""
        return self.numbers([host for host, _ in self.places[: self.count]])

    def numbers(self, names: Sequence[str]) -> Ranks:
        return np.array([self.index[name] for name in names], dtype=np.int64)


def _key(host: Host) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    return natural(host.pod), natural(host.leaf), natural(host.host)


def _ids(names: Sequence[object]) -> Ranks:
    known = {name: at for at, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.int64)


def hosts(config: Config, count: int) -> Hosts | None:
    """None where no hosts are known, or two pools share them. Of a rack no more hosts are taken than an NVLink domain holds, where
    there are enough without the others.
    """
    hardware = config.hardware
    every = of_plan(hardware)
    if len(every) < count or hardware.within.nodes is not None:
        return None
    wide = hardware.nvlink.domain_gpus // hardware.node.gpus
    if wide < 2:
        return Hosts(every, count, wide)
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for host in every:
        rack = (host.pod, host.rack)
        seen[rack] = seen.get(rack, 0) + 1
        if seen[rack] <= wide:
            kept.append(host)
    return Hosts(tuple(kept), count, wide) if len(kept) >= count else None
