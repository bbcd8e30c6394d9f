"""torchrun as the command: one agent a node with the static rendezvous, which alone keeps the order of nodes.

Its c10d rendezvous numbers nodes by the text of their host names (node66 before node7) and ignores --node-rank.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from compiler.frameworks.emission import Argument, Computed
from compiler.schedulers.agents import agent
from compiler.world import World

MODULES = ("torch.distributed.run", "torch.distributed.launch")
DECIDED = re.compile(
    r"--(nnodes|nproc[-_]per[-_]node|node[-_]rank|rdzv[-_](backend|endpoint|id|conf)|master[-_](addr|port)|standalone)(=.*)?"
)


def told(command: Sequence[Argument], unit: str | None, world: World) -> tuple[Argument, ...] | None:
    """The command with the plan's rendezvous after its program, None where it is not torchrun's.

    Raises ConfigError where it chooses a rendezvous itself, or is to start once a rank.
    """
    found, share = agent(command, "torchrun", MODULES), world.slots.share
    if found is None:
        return None
    found.refuse(DECIDED, "nodes, processes, --node-rank and the static rendezvous", unit, share)
    return found.told(
        (
            f"--nnodes={share.nodes}",
            f"--nproc-per-node={share.ranks}",
            Computed("--node-rank={NODE_RANK}"),
            "--rdzv-backend=static",
            Computed("--master-addr={MASTER_ADDR}"),
            Computed("--master-port={MASTER_PORT}"),
        )
    )
