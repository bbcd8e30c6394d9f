"""NVRx's ft_launcher as the command: one launcher a node, told which nodes hold ranks, how many wait, and how large a segment is.

It numbers nodes itself, again after each loss: NVLink domains by the smallest number of their nodes, of each as many whole
segments as it has, the rest on standby (`_assign_group_ranks` of 0.6 and 0.7; failures/renumbered.py). A node's number is
CROSS_SLURM_PROCID where that is set, before what Slurm says of blocks and tasks: here the slot, and for spares the numbers behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from compiler.checks import Check, Status, check, failed, warned
from compiler.cluster.hosts import of_plan
from compiler.errors import ConfigError
from compiler.failures.renumbered import numbered, renumbered
from compiler.frameworks.emission import Argument, Computed
from compiler.frozen import dataclass
from compiler.schedulers import agents
from compiler.schedulers.agents import Agent
from compiler.world import World

MODULES = ("nvidia_resiliency_ext.fault_tolerance.launcher",)
DECIDED = re.compile(
    r"--(nnodes|nproc[-_]per[-_]node|node[-_]rank|rdzv[-_](backend|endpoint)|master[-_](addr|port)|standalone)(=.*)?"
)
NUMBER = "CROSS_SLURM_PROCID"
NUMBERING = (NUMBER, "NVRX_INFRA_RANK_FROM_NODENAME", "NVRX_REPLACEMENT_GROUP_ID")
"""Variables by which it numbers nodes, or groups those that are lost together."""


@dataclass(frozen=True)
class Told:
    """What NVRx knows of a plan: nodes that hold ranks, the spares that wait, and nodes of a segment (None: it looks at no domain).

    `domains` is the NVLink domain of each node, spares behind; those of a plan that is not pinned are taken to be in domains of their own.
    """

    nodes: int
    spares: int
    segment: int | None
    domains: tuple[int, ...]

    @property
    def keeps(self) -> bool:
        """Whether its first numbering is the plan's."""
        return numbered(self.domains, self.segment, self.nodes) == list(range(self.nodes))

    @property
    def renumbered(self) -> int:
        """Nodes that get another number after the worst loss of one: that of the first node of a domain."""
        return max(renumbered(self.domains, self.segment, self.nodes, [at]) for at in self._firsts)

    @property
    def goes_on(self) -> bool:
        """Whether it finds whole segments for all after the loss of any one node."""
        return all(len(numbered(self.domains, self.segment, self.nodes, [at])) == self.nodes for at in self._firsts)

    @property
    def _firsts(self) -> Sequence[int]:
        """The first node of each domain: the worst to lose, as all behind it are numbered anew."""
        found = {domain: at for at, domain in reversed(list(enumerate(self.domains[: self.nodes])))}
        return [0] if self.segment is None else list(found.values())


def agent(world: World) -> Agent | None:
    """None where the job's command does not begin with ft_launcher."""
    return agents.agent(world.config.launch.command or (), "ft_launcher", MODULES)


def told(world: World) -> Told | None:
    """None where NVRx does not run the job. Without --ft-segment a segment is the largest with which NVRx numbers nodes as the plan
    does, where NVLink domains are larger than a node.
    """
    own = agent(world)
    if own is None:
        return None
    domains = _domains(world)
    nodes = world.slots.share.nodes
    given = _given(own)
    found = [Told(nodes, len(domains) - nodes, size, domains) for size in ([given] if given else _sizes(world))]
    return next((one for one in found if one.keeps), found[0])


def words(world: World, unit: str | None) -> tuple[Argument, ...] | None:
    """The command with what NVRx is told after its program; None where it does not run the job.

    Raises ConfigError where the user numbers nodes or chooses a rendezvous, or would start it once a rank.
    """
    own, plan, launch = agent(world), told(world), world.config.launch
    if own is None or plan is None:
        return None
    own.refuse(DECIDED, "nodes, spares, processes and the rendezvous", unit, world.slots.share)
    numbers = [name for name in NUMBERING if name in world.config.environment]
    if numbers:
        raise ConfigError.of(
            f"launch.environment gives ft_launcher {numbers[0]}, and the plan numbers nodes",
            f"write launch.environment.{numbers[0]}=null",
        )
    limited = any(re.match("--max[-_]restarts", word) for word in own.given)
    return own.told(
        (
            f"--nnodes={plan.nodes}:{plan.nodes + plan.spares}",
            f"--nproc-per-node={world.slots.share.ranks}",
            "--rdzv-backend=c10d",
            Computed("--rdzv-endpoint={MASTER_HOST}:{MASTER_PORT}"),
            *([] if plan.segment is None or _given(own) else [f"--ft-segment={plan.segment}"]),
            *([] if limited else [f"--max-restarts={launch.max_restarts}"]),
        )
    )


def checks(world: World) -> Iterator[Check]:
    """Where NVRx contradicts the plan, at its start or after a loss."""
    own, plan = agent(world), told(world)
    if own is None or plan is None:
        return
    spares = world.config.launch.spare_nodes
    if spares and world.instances > 1:
        yield failed(
            "nvrx-spares",
            observed=f"{world.instances} instances",
            limit="1",
            message=f"{world.instances} instances are {world.instances} worlds of NVRx, and each of {spares} spare nodes waits in one",
            fix="write launch.spare_nodes=0, or framework.instances=1 and start the job as often",
        )
    yield from _numbering(plan, wide=_wide(world) > 1, given=_given(own) is not None)
    if plan.spares and plan.keeps and not plan.goes_on:
        yield warned(
            "nvrx-waits",
            observed=f"{plan.spares} spares",
            limit=f"a whole segment of {plan.segment}, or one in each NVLink domain",
            message=f"after the loss of one node its segment of {plan.segment} is not whole, {plan.spares} spares make no other in"
            " their NVLink domains, and NVRx waits for more nodes",
            fix=f"write launch.spare_nodes={plan.segment}, or compile with an inventory that has spares in each domain",
        )
    elif plan.spares and plan.keeps:
        yield warned(
            "nvrx-renumbers",
            observed=plan.renumbered,
            limit=1,
            message=f"after the loss of one node NVRx gives up to {plan.renumbered} of {plan.nodes} nodes another number, where a repair"
            " moves one: ranks and spans are then no longer those of the plan",
            fix="write launch.spare_nodes=0, and Slurm starts the job again on other nodes, as planned",
        )


def _numbering(plan: Told, *, wide: bool, given: bool) -> Iterator[Check]:
    segment = plan.segment
    if segment is not None and not wide:
        yield warned(
            "nvrx-domains",
            observed=segment,
            limit="none",
            message=f"--ft-segment={segment} wants the ClusterUUID of GPUs, which those of NVLink domains within a node may not have:"
            " NVRx then does not start",
            fix="leave --ft-segment out",
        )
    if segment is not None and plan.nodes % segment:
        message = f"--ft-segment={segment} does not divide the {plan.nodes} nodes, and NVRx refuses to start"
    else:
        message = f"NVRx numbers nodes by NVLink domain, in whole segments of {segment}, and not in the order of slots"
    others = "give each NVLink domain as many nodes of the plan, or start ranks without ft_launcher"
    yield check(
        "nvrx-segment",
        holds=plan.keeps,
        observed=segment,
        limit="a segment with which NVRx numbers nodes as the plan does",
        message=f"{plan.nodes} nodes are numbered as planned" if plan.keeps else message,
        fix=f"leave --ft-segment out, {others}" if given else others,
        otherwise=Status.FAIL,
    )


def _given(own: Agent) -> int | None:
    """The user's --ft-segment. Raises ConfigError for what is no number of nodes."""
    text = " ".join(own.given)
    found = re.findall(r"(?:^|\s)--ft[-_]segment(?:[= ](\S*))?(?=\s|$)", text)
    if not found:
        return None
    if not re.fullmatch("[1-9][0-9]{0,6}", found[-1]):
        raise ConfigError.of(
            f"launch.command gives ft_launcher --ft-segment={found[-1]}, which is no number of nodes",
            "leave it out: the plan gives it where NVLink domains are larger than a node",
        )
    return int(found[-1])


def _sizes(world: World) -> Sequence[int | None]:
    """Segments to try: the largest first."""
    nodes, most = world.slots.share.nodes, _wide(world)
    return [size for size in range(min(most, nodes), 0, -1) if nodes % size == 0] if most > 1 else [None]


def _wide(world: World) -> int:
    """Nodes of an NVLink domain."""
    hardware = world.config.hardware
    return max(1, hardware.nvlink.domain_gpus // hardware.node.gpus)


def _domains(world: World) -> tuple[int, ...]:
    """A rack has one ClusterUUID, whatever part of it the plan takes for a domain."""
    hardware, slots, wanted = world.config.hardware, world.slots, world.config.launch.spare_nodes
    nodes, most = slots.share.nodes, _wide(world)
    if most == 1:
        return tuple(range(nodes + wanted))
    if slots.pinned:
        hosts = of_plan(hardware)
        used = (*hosts[:nodes], *hosts[slots.count : slots.count + wanted])
        racks = {place: at for at, place in enumerate(dict.fromkeys((host.pod, host.rack) for host in used))}
        return tuple(racks[host.pod, host.rack] for host in used)
    own = slots.domain[:nodes].tolist()
    return (*own, *(max(own) + 1 + at // most for at in range(wanted)))
