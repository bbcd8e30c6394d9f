"""From a checked process to its command: secrets, arguments of this node, logs, and who failed first.

Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Dict, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned


def read_secrets(launch: Dict[str, Any]) -> None:
    """Secrets stay out of the plan: each rank reads them here, without the last line break."""
    for name, path in launch["secrets"].items():
        if name in os.environ:  # the launcher has it from elsewhere: a Kubernetes Secret
            continue
        try:
            with open(path.encode("utf-8"), "rb") as file:
                value = file.read()
            os.environb[name.encode()] = value[:-1] if value.endswith(b"\n") else value
        except (OSError, ValueError) as error:  # ValueError: a NUL, which must not show what is around it
            reason = error.strerror if isinstance(error, OSError) else "a NUL character in it"
            raise planned.differs(planned.CONFIGURATION, "secret " + name, "a file " + ascii(path), reason) from None


def run(launch: Dict[str, Any], who: str) -> int:
    """Become the command, or its parent where a first failure is to be noted. Output goes to a log where there is a folder."""
    command = arguments(launch)
    os.environ.update({name: filled(launch, value) for name, value in launch.get("computed_environment", {}).items()})
    kept, what = os.dup(2), "workdir %a" % launch["workdir"]  # not inherited: errors go where the self-check's go
    try:
        if launch["workdir"] is not None:
            os.chdir(launch["workdir"].encode("utf-8"))
        if os.environ.get("RANKPLAN_LOGS"):
            what = os.path.join(os.environ["RANKPLAN_LOGS"], who.replace(" ", "-") + ".log")
            log = os.open(what, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
        what = "command %a" % command[0].decode("utf-8")
        if os.environ.get("RANKPLAN_FAILURE"):
            return supervise(command)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a command would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        os.dup2(kept, 2)
        raise planned.differs(planned.CONFIGURATION, what, "one that can be used", error.strerror) from error


def arguments(launch: Dict[str, Any]) -> List[bytes]:
    """The command of this node, with what depends on the node filled in."""
    others = launch["other_command"] if planned.number("NODE_RANK") > 0 else None
    texts = [filled(launch, item) if isinstance(item, dict) else item for item in others or launch["command"]]
    return [text.encode("utf-8") for text in texts]


def filled(launch: Dict[str, Any], computed: Dict[str, Any]) -> str:
    """A text that holds what only this node knows."""
    node = planned.number("NODE_RANK")
    known = {name: os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "RANKPLAN_PLAN")}
    before = planned.first_gpu_of_instance(launch) % launch["gpus_per_node"] // launch["ranks_per_node"]
    known["PORT"] = str(computed.get("port", 0) + before * computed["times"])
    known["ADDRESS"] = address(known["MASTER_ADDR"]) if "{ADDRESS}" in computed["text"] else ""
    return str(computed["text"]).format(NODE_RANK=node, START=node * computed["times"], **known)


def address(master: str) -> str:
    """The own address of this node on the way to rank 0's host; nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(master, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(place)
            return str(way.getsockname()[0])
    except OSError as error:
        raise planned.differs(planned.CONFIGURATION, "MASTER_ADDR", "a host that resolves", master) from error


def supervise(command: List[bytes]) -> int:
    """Exit code of the command, 128 + n for signal n. Slurm signals it too, so signals are its own business."""
    own = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    for number in own:
        signal.signal(number, lambda *_: None)  # not ignored: the command would inherit that
    code = subprocess.Popen(command).wait()
    for number in own:
        signal.signal(number, signal.SIG_IGN)  # a second one would end Python while it shuts down
    return code if code >= 0 else 128 - code


def note(code: int, who: str, host: str) -> int:
    """The first failure, which the ends of others would hide: srun returns the highest exit code of all.

    Instances have a file each; pools share one, in which `POOL INSTANCE` come first.
    """
    path = os.environ.get("RANKPLAN_FAILURE")
    place = "%s %d " % (planned.pool(), planned.instance()) if planned.pool() else ""
    if path and code:
        with contextlib.suppress(OSError), open(path, "x") as file:
            file.write("%s%d %s on %s\n" % (place, code, who, host))
    return code
