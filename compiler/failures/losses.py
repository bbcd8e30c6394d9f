"""What a user says is lost -> ranks, slots and spare hosts: `host=NAME gpu=NAME/3 leaf=NAME pod=NAME domain=N slot=N`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.cluster.inventory import Host
from compiler.cluster.layout import Layout
from compiler.cluster.slots import Slots
from compiler.errors import ConfigError, Problem, short
from compiler.frozen import dataclass
from compiler.layout.grid import Ranks
from compiler.nearest import near, numbered, one_of

WORDS = ("host", "gpu", "leaf", "pod", "domain", "slot")
FORMS = "host=NAME, gpu=NAME/3, leaf=NAME, pod=NAME, domain=N or slot=N"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lost:
    """Masks over the ranks of all instances and over slots (one that lost a GPU is lost), and names of spares."""

    ranks: Mask
    slots: Mask
    spares: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cluster:
    """The plan's machines: what each rank sits on, and the spare hosts with where they hang (none where slots are not bound)."""

    slots: Slots
    slot: Ranks
    gpu: Ranks
    domain: Ranks
    spares: tuple[Host, ...]

    @property
    def none(self) -> Lost:
        return Lost(np.zeros(len(self.slot), dtype=bool), np.zeros(self.slots.count, dtype=bool))

    def of_slots(self, slots: Mask, spares: Iterable[str] = ()) -> Lost:
        return Lost(slots[self.slot], slots, tuple(spares))


def cluster(plan: Layout, spares: Sequence[Host]) -> Cluster:
    """`spares` are the hosts that the plan keeps without ranks."""
    ranks = np.arange(plan.size * plan.instances, dtype=np.int64)
    slots = plan.slots
    kept = tuple(host for host in spares if host.host in set(slots.spares))
    return Cluster(slots, slots.slot(ranks), slots.gpu(ranks), slots.nvlink_domain(ranks), kept)


def lost(machines: Cluster, given: Iterable[str]) -> Lost:
    """All that is lost together. Raises ConfigError with every loss that names nothing of the plan."""
    found, wrong = machines.none, list[Problem]()
    for item in given:
        try:
            one = _lost(machines, item)
        except ConfigError as error:
            wrong += error.problems
        else:
            spares = tuple(dict.fromkeys((*found.spares, *one.spares)))
            found = Lost(found.ranks | one.ranks, found.slots | one.slots, spares)
    if wrong:
        raise ConfigError(wrong)
    return found


def _lost(machines: Cluster, item: str) -> Lost:
    word, _, value = item.partition("=")
    if word in WORDS and value:
        return _READERS[word](machines, item, value)
    close = "".join(f"did you mean {found}=...? " for found in near(word, WORDS, 1) if word not in WORDS)
    raise ConfigError.of(
        f"--lost {short(item)} says nothing that can be lost", f"{close}{'Else write' if close else 'write'} {FORMS}"
    )


def _host(machines: Cluster, item: str, value: str) -> Lost:
    if value in machines.slots.spares:
        return machines.of_slots(machines.none.slots, (value,))
    slots = machines.none.slots
    slots[_slot_of(machines, item, value)] = True
    return machines.of_slots(slots)


def _slot(machines: Cluster, item: str, value: str) -> Lost:
    slots = machines.none.slots
    slots[_number(item, value, machines.slots.count, "slot=")] = True
    return machines.of_slots(slots)


def _gpu(machines: Cluster, item: str, value: str) -> Lost:
    """One GPU; a node that lost one is not used again. Where no host is known, NAME is a slot."""
    name, slash, number = value.rpartition("/")
    if not slash:
        raise ConfigError.of(f"{item}: no GPU of the host is named", numbered(f"gpu={value}/", machines.slots.gpus))
    gpu = _number(item, number, machines.slots.gpus, f"gpu={name}/")
    if name in machines.slots.spares:
        return machines.of_slots(machines.none.slots, (name,))
    known = machines.slots.pinned
    slot = _slot_of(machines, item, name) if known else _number(item, name, machines.slots.count, "gpu=", f"/{gpu}")
    slots = machines.none.slots
    slots[slot] = True
    return Lost((machines.slot == slot) & (machines.gpu == gpu), slots)


def _leaf(machines: Cluster, item: str, value: str) -> Lost:
    """A leaf by its name, or as POD/LEAF where several pods have one of that name."""
    slots = machines.slots
    pod_of = dict(zip(slots.leaf.tolist(), slots.pod.tolist(), strict=True))
    places = [(slots.pod_names[pod_of[leaf]], name) for leaf, name in enumerate(slots.leaf_names)]
    spare = [(host.pod, host.leaf) for host in machines.spares]
    named = [(pod, leaf) for pod, leaf in dict.fromkeys(places + spare) if value in (leaf, f"{pod}/{leaf}")]
    if len(named) > 1:
        ways = [f"leaf={pod}/{leaf}" for pod, leaf in named]
        raise ConfigError.of(f"{item}: {len(named)} pods have a leaf {value}", f"write {' or '.join(ways[:4])}")
    if not named:
        raise ConfigError.of(
            f"{item} is none of the plan's {len(places)} leaves", one_of(value, _some(slots.leaf_names), "leaf")
        )
    mask = np.array([place in named for place in places], dtype=bool)[slots.leaf]
    gone = [host.host for host, place in zip(machines.spares, spare, strict=True) if place in named]
    return machines.of_slots(mask, gone)


def _pod(machines: Cluster, item: str, value: str) -> Lost:
    slots = machines.slots
    gone = [host.host for host in machines.spares if host.pod == value]
    if value not in slots.pod_names and not gone:
        raise ConfigError.of(
            f"{item} is none of the plan's {len(slots.pod_names)} pods", one_of(value, _some(slots.pod_names), "pod")
        )
    mask = np.array([name == value for name in slots.pod_names], dtype=bool)[slots.pod]
    return machines.of_slots(mask, gone)


def _domain(machines: Cluster, item: str, value: str) -> Lost:
    """An NVLink domain by its number: a part of a node, a node or a rack; a node that lost a part is not used again."""
    count = int(machines.domain.max(initial=-1)) + 1
    ranks = machines.domain == _number(item, value, count, "domain=")
    slots = machines.none.slots
    slots[machines.slot[ranks]] = True
    return Lost(ranks, slots)


def _slot_of(machines: Cluster, item: str, name: str) -> int:
    hosts = machines.slots.hosts
    if name in hosts:
        return hosts.index(name)
    if not hosts:
        raise ConfigError.of(
            f"{item}: the plan's slots are not bound to hosts, so none is known by name", unbound(machines.slots.count)
        )
    every = [*hosts, *machines.slots.spares]
    if "," in name:
        ways = " ".join(f"host={one}" for one in name.split(",")[:4])
        raise ConfigError.of(f"{item} is no host, which has no comma in its name", f"write --lost {ways}")
    close = near(name, every) or [hosts[0], hosts[-1]]
    raise ConfigError.of(f"{item} is none of the plan's {len(every)} hosts", f"write host={' or host='.join(close)}")


def unbound(count: int) -> str:
    """What to write where a plan of so many slots knows no host."""
    return f"{numbered('slot=', count)}, or compile with hardware.pin=true and an inventory of just the hosts that it takes"


def _number(item: str, value: str, count: int, form: str, end: str = "") -> int:
    """A number of 0 .. count-1."""
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) >= count:
        raise ConfigError.of(
            f"{item}: {short(value) or 'nothing'} is none of 0 to {count - 1}",
            numbered(form, count, end),
        )
    return int(value)


def _some(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))[:16]


_READERS: Mapping[str, Callable[[Cluster, str, str], Lost]] = {
    "host": _host,
    "gpu": _gpu,
    "leaf": _leaf,
    "pod": _pod,
    "domain": _domain,
    "slot": _slot,
}
