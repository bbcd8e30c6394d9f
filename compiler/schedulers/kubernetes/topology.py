"""The plan's NVLink domains, leaves and pods as Kubernetes sees them: runs of node slots, and labels of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from compiler.checks import Check, check
from compiler.cluster import inventory
from compiler.cluster.slots import Slots, from_inventory, nominal
from compiler.frozen import dataclass
from compiler.schedulers.job import Job
from compiler.specs.hardware import Hardware
from compiler.specs.site import TopologyKeys

MOST_RUNS = 16
"""Different runs of nodes that one object spells out; beyond, it is one run of all nodes."""


@dataclass(frozen=True)
class Level:
    """One kind of domain. `ids` is the domain of each node slot of all instances; `key` is the label of nodes, if any."""

    name: str
    key: str | None
    ids: tuple[int, ...]

    def runs(self, job: Job, instance: int) -> tuple[int, ...]:
        """Nodes of an instance in each of its domains, in the order of slots."""
        return tuple(len(list(run)) for _, run in groupby(self._own(job, instance)))

    def _own(self, job: Job, instance: int) -> tuple[int, ...]:
        first = job.share.first_node(instance)
        return self.ids[first : first + job.nodes]

    def alone(self, job: Job) -> bool:
        """Whether no two instances have nodes in the same domain, and none comes back to one that it had left."""
        seen: list[int] = []
        for instance in range(job.instances):
            seen += [domain for domain, _ in groupby(self._own(job, instance))]
        return len(seen) == len(set(seen))


def levels(job: Job) -> list[Level]:
    """The levels that the plan's hardware has, the smallest first; a network without leaves has none."""
    return _levels(job.world.config.hardware, job.world.slots, job.site.kubernetes.topology)


def _levels(hardware: Hardware, slots: Slots, keys: TopologyKeys) -> list[Level]:
    known = hardware.inventory is not None
    found = []
    if hardware.nvlink.domain_gpus > hardware.node.gpus:
        found.append(Level("domain", keys.domain, tuple(slots.domain.tolist())))
    if known or hardware.fabric.nodes_per_leaf is not None:
        found.append(Level("leaf", keys.leaf, tuple(slots.leaf.tolist())))
    if known or hardware.fabric.leaves_per_pod is not None:
        found.append(Level("pod", keys.pod, tuple(slots.pod.tolist())))
    return found


def around(jobs: Sequence[Job]) -> Iterator[Level]:
    """The levels that have one domain for the nodes of all jobs together, the smallest first."""
    hardware, total = jobs[0].world.config.hardware, jobs[0].within.nodes or sum(job.all_nodes for job in jobs)
    if hardware.inventory is None:
        slots = nominal(hardware, total)
    else:
        tables = [job.world.config.hardware.inventory for job in jobs if job.hosts] or [hardware.inventory]
        hosts = list(dict.fromkeys(host for table in tables for host in inventory.read(str(table))))
        if jobs[0].hosts:
            used = {name for job in jobs for name in job.hosts}
            hosts = [host for host in hosts if host.host in used]
        slots = from_inventory(hardware, tuple(hosts), total, False)
    for level in _levels(hardware, slots, jobs[0].site.kubernetes.topology):
        if len(set(level.ids)) == 1:
            yield level


def smallest(job: Job) -> Level | None:
    """The domain that an object's shape follows: that of NVLink, else a leaf."""
    return next((level for level in levels(job) if level.name != "pod"), None)


def shape(job: Job, instance: int) -> tuple[tuple[int, int], ...]:
    """(how many runs, nodes of each) of an instance, equal neighbours together; one run of all where there are no domains."""
    level = smallest(job)
    found = () if level is None else _equal_neighbours(level, job, instance)
    return found if 0 < len(found) <= MOST_RUNS else ((1, job.nodes),)


def _equal_neighbours(level: Level, job: Job, instance: int) -> tuple[tuple[int, int], ...]:
    return tuple((len(list(same)), nodes) for nodes, same in groupby(level.runs(job, instance)))


def holds(level: Level, job: Job) -> bool:
    """Whether every instance is within one domain of a level."""
    return all(len(level.runs(job, instance)) == 1 for instance in range(job.instances))


def equal_runs(job: Job, level: Level) -> int | None:
    """Nodes of each run, where every instance has runs of this one size."""
    sizes = {size for instance in range(job.instances) for size in level.runs(job, instance)}
    return sizes.pop() if len(sizes) == 1 else None


def exclusive(job: Job) -> str | None:
    """The label whose domains the runs of `shape` may have to themselves, as the plan gives none of them to two."""
    level = smallest(job)
    if level is None or not level.alone(job):
        return None
    spelt = all(len(_equal_neighbours(level, job, instance)) <= MOST_RUNS for instance in range(job.instances))
    return level.key if spelt else None


def unnamed(job: Job) -> bool:
    """Whether only a name is missing: parts of the plan could have domains to themselves, and the site has no label for them."""
    level = smallest(job)
    return level is not None and level.key is None and level.alone(job)


def exclusive_check(target: str, *, wanted: bool | None, given: str | None) -> Iterator[Check]:
    """Domains of their own must be there to give: `wanted` is the user's choice, `given` the label that is used."""
    if wanted:
        yield check(
            "exclusive-topology",
            holds=given is not None,
            observed=given,
            limit="a node label",
            message=f"scheduler.{target}.exclusive=true needs whole domains that no two parts of the plan share, and the label that names them",
            fix="write site.kubernetes.topology.leaf=LABEL (domain, where NVLink joins nodes), or leave it out",
        )
