"""Which host of an inventory has which slot: those that the plan names, else by where they hang; the others are spares."""

from __future__ import annotations

from functools import lru_cache

from compiler.cluster import hostlist, inventory
from compiler.cluster.inventory import Host
from compiler.errors import ConfigError, short
from compiler.specs.hardware import Hardware
from compiler.specs.limits import NODES


def of_plan(hardware: Hardware) -> tuple[Host, ...]:
    """Hosts of a plan: slot i has the i-th, and those behind the last slot are spares. Empty without an inventory."""
    hosts, within = known(hardware), hardware.within
    if within.nodes is None:
        return hosts
    return hosts[within.first : within.first + hardware.nodes] + hosts[within.nodes :]


def known(hardware: Hardware) -> tuple[Host, ...]:
    """The same, of all plans that have nodes of this cluster together.

    `hardware.hosts` are the first ones. Without it they run by pod, leaf and name, and of a rack that has more of them than an
    NVLink domain holds (18 nodes, where jobs use 16) what is over comes last.
    """
    if hardware.inventory is None:
        return ()
    wide = hardware.nvlink.domain_gpus // max(hardware.node.gpus, 1)
    named = None if hardware.hosts is None else names(hardware.hosts)
    return _order(hardware.inventory, named, hardware.within.nodes or hardware.nodes, wide)


@lru_cache(maxsize=16)
def names(hosts: str) -> tuple[str, ...]:
    """The names of `hardware.hosts`. Raises ConfigError for what is no host list."""
    try:
        return hostlist.expand(hosts, NODES)
    except ValueError as error:
        raise ConfigError.of(
            f"hardware.hosts={short(hosts)} {error}", "write a host list such as node[001-016],node129, or null"
        ) from error


@lru_cache(maxsize=16)
def _order(table: str, named: tuple[str, ...] | None, count: int, wide: int) -> tuple[Host, ...]:
    hosts = inventory.read(table)
    if named is None:
        first = _whole(hosts, count, wide) if wide > 1 else hosts[:count]
    else:
        by_name = {host.host: host for host in hosts}
        first = tuple(by_name[name] for name in dict.fromkeys(named) if name in by_name)
    taken = {host.host for host in first}
    return (*first, *(host for host in hosts if host.host not in taken))


def _whole(hosts: tuple[Host, ...], count: int, wide: int) -> tuple[Host, ...]:
    """`count` hosts, in order: as many of each rack as a domain holds, before any that is over."""
    seen: dict[tuple[str, str], int] = {}
    over = []
    for host in hosts:
        rack = (host.pod, host.rack)
        over.append(seen.get(rack, 0) >= wide)
        seen[rack] = seen.get(rack, 0) + 1
    ranked = sorted(range(len(hosts)), key=over.__getitem__)[:count]
    return tuple(hosts[index] for index in sorted(ranked))
