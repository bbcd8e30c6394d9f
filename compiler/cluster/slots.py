"""Where ranks sit: rank -> node slot and local GPU, slot -> leaf, pod and (once bound) host."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from compiler.cluster.inventory import Host
from compiler.cluster.share import Share
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.specs.hardware import Hardware
from compiler.words import natural


@dataclass(frozen=True)
class Slots:
    """Arrays over the node slots of all instances, shape [slots]; `hosts` is empty until slots are bound. Ranks are counted through
    all instances. `given` is what an instance has of its nodes; None where ranks fill them one after the other.

    `leaf` and `pod` are dense ids; `leaf_names` and `pod_names` are what the tables show.
    `domain` is the NVLink domain of a slot's first GPU; `spares` are hosts that hold no rank.
    """

    gpus: int
    leaf: Ranks
    pod: Ranks
    domain: Ranks
    domain_gpus: int
    leaf_names: tuple[str, ...]
    pod_names: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    given: Share | None = None

    @cached_property
    def share(self) -> Share:
        return self.given or Share(self.gpus, self.gpus)

    @property
    def count(self) -> int:
        return len(self.leaf)

    @property
    def pinned(self) -> bool:
        return bool(self.hosts)

    def slot(self, ranks: Ranks) -> Ranks:
        """Node slot of each rank."""
        return self.share.slot(ranks)

    def local_rank(self, ranks: Ranks) -> Ranks:
        """Number of each rank among those of its instance on its node."""
        return self.share.local_rank(ranks)

    def gpu(self, ranks: Ranks) -> Ranks:
        """GPU of each rank on its node."""
        return self.share.gpu(ranks)

    def nvlink_domain(self, ranks: Ranks) -> Ranks:
        """NVLink domain of each rank: a part of a node, a node, or several nodes."""
        if self.domain_gpus < self.gpus:
            per_node = -(-self.gpus // self.domain_gpus)
            return self.slot(ranks) * per_node + self.gpu(ranks) // self.domain_gpus
        domains: Ranks = self.domain[self.slot(ranks)]
        return domains

    def shared(self, share: Share) -> Slots:
        """The same slots, of which each instance has a share."""
        return replace(self, given=share)


def nominal(hardware: Hardware, count: int) -> Slots:
    """Slots of a cluster known only by its shape: leaves and pods are filled in order."""
    slots = np.arange(count, dtype=np.int64)
    per_leaf = hardware.fabric.nodes_per_leaf or max(count, 1)
    per_pod = hardware.fabric.leaves_per_pod or max(count, 1)
    leaf = slots // per_leaf
    pod = leaf // per_pod
    per_domain = max(1, hardware.nvlink.domain_gpus // hardware.node.gpus)
    leaves, pods = int(leaf.max(initial=-1)) + 1, int(pod.max(initial=-1)) + 1
    return Slots(
        gpus=hardware.node.gpus,
        leaf=leaf,
        pod=pod,
        domain=slots // per_domain,
        domain_gpus=hardware.nvlink.domain_gpus,
        leaf_names=tuple(map(str, range(leaves))),
        pod_names=tuple(map(str, range(pods))),
    )


def from_inventory(hardware: Hardware, hosts: tuple[Host, ...], count: int, pin: bool) -> Slots:
    """Slots of known machines, in the order of `hosts`; those after the first `count` are spares.

    An NVLink domain that is larger than a node is a rack, or the part of one that a domain holds.
    """
    used = hosts[:count]
    leaf_names = tuple(dict.fromkeys(f"{h.pod}/{h.leaf}" for h in used))
    pod_names = tuple(dict.fromkeys(h.pod for h in used))
    domains = _domains(used, hardware.nvlink.domain_gpus // hardware.node.gpus)
    return Slots(
        gpus=hardware.node.gpus,
        leaf=_ids([f"{h.pod}/{h.leaf}" for h in used], leaf_names),
        pod=_ids([h.pod for h in used], pod_names),
        domain=_ids(domains, list(dict.fromkeys(domains))),
        domain_gpus=hardware.nvlink.domain_gpus,
        leaf_names=tuple(name.split("/", 1)[1] for name in leaf_names),
        pod_names=pod_names,
        hosts=tuple(h.host for h in used) if pin else (),
        spares=tuple(h.host for h in hosts[count:]) if pin else (),
    )


def _domains(hosts: Sequence[Host], most: int) -> list[Hashable]:
    """The NVLink domain of each host: itself, or its rack, of which no domain has more than `most` hosts (by name)."""
    if most <= 1:
        return list(range(len(hosts)))
    racks: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        racks.setdefault((host.pod, host.rack), []).append(host.host)
    if max(map(len, racks.values()), default=0) <= most:
        return [(host.pod, host.rack) for host in hosts]
    place = {name: at for names in racks.values() for at, name in enumerate(sorted(names, key=natural))}
    return [(host.pod, host.rack, place[host.host] // most) for host in hosts]


def _ids(names: Sequence[Hashable], order: Sequence[Hashable]) -> Ranks:
    """Position of each name in `order`, shape [names]."""
    index = {name: i for i, name in enumerate(order)}
    return np.array([index[name] for name in names], dtype=np.int64)
