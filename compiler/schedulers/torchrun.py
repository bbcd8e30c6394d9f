"""torchrun as the command: one agent a node with the static rendezvous, which alone keeps the order of nodes.

Its c10d rendezvous numbers nodes by the text of their host names (node66 before node7) and ignores --node-rank.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from compiler.errors import ConfigError
from compiler.frameworks.emission import Argument, Computed
from compiler.world import World

MODULES = ("torch.distributed.run", "torch.distributed.launch")
OURS = re.compile(
    r"--(nnodes|nproc[-_]per[-_]node|node[-_]rank|rdzv[-_](backend|endpoint|id|conf)|master[-_](addr|port)|standalone)(=.*)?"
)


def agent(command: Sequence[Argument], unit: str | None, world: World) -> tuple[Argument, ...] | None:
    """The command with the plan's rendezvous after its program, None where it is not torchrun's.

    Raises ConfigError where it chooses a rendezvous itself, or is to start once a rank.
    """
    words = [word for word in command if isinstance(word, str)]
    length = _program(words)
    if length is None:
        return None
    chosen = [word for word in words[length : _script(words, length)] if OURS.fullmatch(word)]
    if chosen:
        raise ConfigError.of(
            f"launch.command gives torchrun {' '.join(chosen)}, and the plan decides that",
            "leave it out: nodes, processes, --node-rank and the static rendezvous come from the plan",
        )
    if unit == "rank":
        raise ConfigError.of(
            f"launch.unit=rank would start torchrun {world.slots.share.ranks} times on each node",
            "write launch.unit=node",
        )
    share = world.slots.share
    rendezvous = (
        f"--nnodes={share.nodes}",
        f"--nproc-per-node={share.ranks}",
        Computed("--node-rank={NODE_RANK}"),
        "--rdzv-backend=static",
        Computed("--master-addr={MASTER_ADDR}"),
        Computed("--master-port={MASTER_PORT}"),
    )
    return (*command[:length], *rendezvous, *command[length:])


def _program(words: Sequence[str]) -> int | None:
    """How many words are the program itself."""
    if words and words[0].rsplit("/", 1)[-1] == "torchrun":
        return 1
    found = [index for index in range(1, len(words) - 1) if words[index] == "-m" and words[index + 1] in MODULES]
    return found[0] + 2 if found else None


def _script(words: Sequence[str], start: int) -> int:
    """Where the arguments of torchrun end: at the first script, module or program."""
    for index in range(start, len(words)):
        if words[index].endswith(".py") or words[index] in ("-m", "--module", "--no-python", "--no_python"):
            return index
    return len(words)
