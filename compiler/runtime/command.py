"""From a checked process to its command: secrets, arguments of this node, logs, and who failed first.

Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import signal
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any, Dict, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, planned
else:
    import family
    import planned

LONGEST = 1 << 17
"""Bytes of a secret: the system takes no longer value."""
GRACE_S = 30
"""From SIGTERM to SIGKILL; a rank that saves a checkpoint has the time of that."""


def read_secrets(launch: Dict[str, Any]) -> None:
    """Secrets stay out of the plan: each rank reads them here, without the last line break."""
    for name, path in launch["secrets"].items():
        if name in os.environ:  # the launcher has it from elsewhere: a Kubernetes Secret
            continue
        try:
            value = planned.read(path.encode("utf-8"), LONGEST)
        except planned.PlanError as error:
            raise planned.PlanError(error.code, "secret %s: %s" % (name, error)) from None
        if b"\0" in value:  # what is around it must not be shown
            raise planned.PlanError(planned.CONFIGURATION, "secret %s: %s: there is a NUL in it" % (name, path))
        os.environb[name.encode()] = value[:-1] if value.endswith(b"\n") else value


def run(launch: Dict[str, Any], who: str, host: str) -> int:
    """Become the command, or its parent where a first failure is to be noted. Output goes to a log where there is a folder."""
    grace_s = planned.number("RANKPLAN_GRACE_S", max(GRACE_S, launch["checkpoint_signal_s"]))
    command = arguments(launch)
    os.environ.update({name: filled(launch, value) for name, value in launch.get("computed_environment", {}).items()})
    kept, what = os.dup(2), "workdir %a" % launch["workdir"]  # not inherited: errors go where the self-check's go
    try:
        if launch["workdir"] is not None:
            os.chdir(launch["workdir"].encode("utf-8"))
        if os.environ.get("RANKPLAN_LOGS"):
            what = os.path.join(os.environ["RANKPLAN_LOGS"], who.replace(" ", "-") + ".log")
            log = opened(what)
            os.dup2(log, 1)
            os.dup2(log, 2)
        what = "command %a" % command[0].decode("utf-8")
        if os.environ.get("RANKPLAN_FAILURE"):
            return supervise(command, grace_s, who, host)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a command would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        os.dup2(kept, 2)
        raise planned.differs(planned.CONFIGURATION, what, "one that can be used", error.strerror) from error


def opened(path: str) -> int:
    """A log to append to; a pipe that nobody reads would keep a rank waiting for ever."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(log).st_mode):
        raise planned.differs(planned.CONFIGURATION, path, "a regular file", "another kind")
    os.set_blocking(log, True)
    return log


def arguments(launch: Dict[str, Any]) -> List[bytes]:
    """The command of this node, with what depends on the node filled in."""
    others = launch["other_command"] if planned.number("NODE_RANK") > 0 else None
    texts = [filled(launch, item) if isinstance(item, dict) else item for item in others or launch["command"]]
    return [text.encode("utf-8") for text in texts]


def filled(launch: Dict[str, Any], computed: Dict[str, Any]) -> str:
    """A text that holds what only this node knows."""
    node = planned.number("NODE_RANK")
    known = {name: os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "RANKPLAN_PLAN")}
    known["MASTER_HOST"] = planned.bracketed(known["MASTER_ADDR"])
    before = planned.before(launch, planned.instance())
    alone = os.environ.get("RANKPLAN_OWN_NETWORK")  # a pod that has its own shares no ports
    known["PORT"] = str(computed.get("port", 0) + (0 if alone else before * computed["times"]))
    known["ADDRESS"] = address(known["MASTER_ADDR"]) if "{ADDRESS}" in computed["text"] else ""
    return str(computed["text"]).format(NODE_RANK=node, START=node * computed["times"], **known)


def address(master: str) -> str:
    """The own address of this node on the way to rank 0's host; nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(master, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(place)
            return str(way.getsockname()[0])
    except (OSError, UnicodeError) as error:
        raise planned.differs(planned.CONFIGURATION, "MASTER_ADDR", "a host that resolves", master) from error


def supervise(command: List[bytes], grace_s: int, who: str, host: str) -> int:
    """Exit code of the command, 128 + n for signal n. Slurm signals it too, so signals are its own business.

    What it leaves behind is ended before this process ends: Slurm loses sight of it then.
    """
    rank = family.Family(grace_s, family.hold_signals(), family.NOBODY)
    rank.start(who, command, None, apart=False)
    code = note(rank.wait(), who, host)
    rank.end()
    return code


def note(code: int, who: str, host: str) -> int:
    """The first failure, which the ends of others would hide: srun returns the highest exit code of all.

    Instances have a file each; pools share one, in which `POOL INSTANCE` come first.
    """
    path = os.environ.get("RANKPLAN_FAILURE")
    place = "%s %d " % (planned.pool(), planned.instance()) if planned.pool() else ""
    if path and code:
        with contextlib.suppress(OSError), open(path, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write("%s%d %s on %s\n" % (place, code, who, host))
    return code
