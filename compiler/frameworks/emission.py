"""What a framework is started with: a program, its arguments, its environment and the files that it reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from compiler.errors import ConfigError
from compiler.frozen import dataclass
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config

if TYPE_CHECKING:
    from compiler.frameworks.router import Router


@dataclass(frozen=True)
class Computed:
    """An argument, or a variable's value, that the starter completes on each node.

    `text` may hold {MASTER_ADDR}, {MASTER_PORT}, {MASTER_HOST}, which is MASTER_ADDR as it stands before a colon (an IPv6
    address in brackets), {NODE_RANK}, {RANKPLAN_PLAN}, {ADDRESS}, which is the node's own as rank 0's host sees it, {START},
    which is NODE_RANK*times, and {PORT}, which is port + times*(how many instances come before this one on its node).
    """

    text: str
    times: int = 1
    port: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "times": self.times, "port": self.port}


Argument = str | Computed

ANYWHERE = "0.0.0.0"  # noqa: S104 - a server is there for others
"""Every address of a node."""


@dataclass(frozen=True)
class Emission:
    """`program` runs where `launch.command` is not given; `arguments` follow either of them.

    `others` are the arguments on every node but the first, where those differ (None: they do not).
    `environment` lies below the site's and the user's, and may hold Computed values too; `files` have paths under `framework/`.
    `unit` is what the launcher starts where `launch.unit` is not given: a process a `rank` or a `node`.
    `http_port` is where an inference server answers /health, on the first node of an instance; `http_host` is the address
    that it listens on there, `http_scheme` is https where it is given a certificate.
    `router` stands before a server that does one phase.
    `mpi` is the interface to MPI that ranks find each other by, as srun names it, where they do.
    """

    program: tuple[Argument, ...] = ()
    arguments: tuple[Argument, ...] = ()
    others: tuple[Argument, ...] | None = None
    environment: Mapping[str, Argument] = field(default_factory=dict)
    files: tuple[Artifact, ...] = ()
    unit: str = "rank"
    mpi: str | None = None
    http_port: Computed | None = None
    http_host: str = ANYWHERE
    http_scheme: str = "http"
    router: Router | None = None


def flags(arguments: Sequence[Argument]) -> set[str]:
    """The option names among arguments: `--tp` of `--tp=8` and of `--tp 8`."""
    texts = (argument if isinstance(argument, str) else argument.text for argument in arguments)
    return {text.split("=", 1)[0] for text in texts if is_flag(text)}


def is_flag(text: str) -> bool:
    """Whether a word is an option, rather than a value such as -1."""
    return text.startswith("-") and not (text[1:2].isdigit() or text[1:2] == ".")


def merged(
    config: Config,
    ours: Sequence[Argument],
    *,
    aliases: Mapping[str, str] | None = None,
    decided: Collection[str] = (),
    abbreviates: bool = False,
    keys: Mapping[str, str] | None = None,
) -> tuple[Argument, ...]:
    """Our arguments and then the user's `framework.args`. `aliases` maps other spellings of an option to ours.

    `decided` are options that a plan decides though it may leave them at their defaults; `abbreviates` says that the
    framework's parser takes the beginning of a long option for the whole. `keys`: option of ours -> the key that it comes from.
    Raises ConfigError where the user sets an option that the plan does: the plan is proved for ours.
    """
    planned = flags(ours) | set(decided)
    planned |= {other for other, name in (aliases or {}).items() if name in planned}
    clashes = sorted(
        flag
        for flag in flags(config.framework.args)
        if flag in planned or (abbreviates and flag[:2] == "--" and any(name.startswith(flag) for name in planned))
    )
    if clashes:
        from compiler.frameworks import owned
        from compiler.frameworks.options import options

        named = {flag: (keys or {}).get((aliases or {}).get(flag, flag)) for flag in clashes}
        known = {flag: key for flag, key in named.items() if key is not None}
        raise ConfigError(owned.problems(clashes, known, options(config.framework.args)))
    return (*ours, *config.framework.args)
