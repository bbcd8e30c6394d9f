"""Starts the plan's ranks by MPI, in the plan's order, and ends with the first failing rank's exit code.

    mpi.py mpirun ...    the launcher: MPI's process i runs on the slot of rank i; the whole gang is started again after
                         a failure, RANKPLAN_MAX_RESTARTS times, unless the self-check said that it would fail again
    mpi.py --where       on each worker: says on which node it is
    mpi.py --rank        as MPI starts it: sets the plan's variables of this rank, starts probe.py and ends with it

RANKPLAN_WORKERS is the worker's host name with %d for its slot. Open MPI: its sequential mapper takes a host a process,
in order, which no other form of its host file does. Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Set

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, guard, meet, planned
else:
    import family
    import guard
    import meet
    import planned

NEVER_RETRIED = (64, 65, 66)
WHERE_S = 120
"""In which every worker says where it is."""
ENDING_S = 5
"""What mpirun needs to end after its ranks had their time."""


def hosts(launch: Dict[str, Any], pattern: str) -> List[str]:
    """The host of each of MPI's processes, in the order of ranks."""
    tasks = 1 if launch["unit"] == "node" else launch["ranks_per_node"]
    return [pattern.replace("%d", str(worker)) for worker in order(launch) for _ in range(tasks)]


def order(launch: Dict[str, Any]) -> List[int]:
    """The worker of each slot."""
    given = os.environ.get("RANKPLAN_ORDER", "")
    if not re.fullmatch("([0-9]{1,9}( [0-9]{1,9})*)?", given):
        raise planned.differs(planned.CONFIGURATION, "RANKPLAN_ORDER", "numbers of workers", ascii(given[:80]))
    found = [int(worker) for worker in given.split()] or list(range(launch["nodes"]))
    planned.expect(planned.MAPPING, "workers in slots", list(range(launch["nodes"])), sorted(found))
    return found


def own_node() -> str:
    """The node of this pod: MPI's logins have it not, but what was started with the pod has."""
    if "NODE_NAME" not in os.environ:
        with contextlib.suppress(OSError), open("/proc/1/environ", "rb") as file:
            for pair in file.read().split(b"\0"):
                if pair.startswith(b"NODE_NAME="):
                    os.environ["NODE_NAME"] = os.fsdecode(pair.partition(b"=")[2])
    return planned.node_name()


def follow_nodes(launch: Dict[str, Any], prefix: List[str]) -> None:
    """A pinned plan's: ask each worker for its node, whose slot it takes. Slot 0's worker is where ranks meet."""
    names = [workers().replace("%d", str(worker)) for worker in range(launch["nodes"])]
    with listed(names) as path:
        asked = [*mpirun(launch, prefix, len(names), path)[:-1], "--where"]
        code, text = family.output(asked, WHERE_S, "the node of each worker")
    found = dict(re.findall("^rankplan-worker ([0-9]+) (.+)$", text, re.MULTILINE))
    if code or len(found) != len(names):
        last = text.strip().rpartition("\n")[2]
        raise planned.differs(planned.CONFIGURATION, "nodes of workers", len(names), "%d: %s" % (len(found), last))
    slots = {meet.slot(launch, host): worker for worker, host in found.items()}
    os.environ["RANKPLAN_ORDER"] = " ".join(worker for _, worker in sorted(slots.items()))
    os.environ["MASTER_ADDR"] = names[order(launch)[0]]


@contextlib.contextmanager
def listed(names: List[str]) -> Iterator[str]:
    """A file with a name a line."""
    with tempfile.NamedTemporaryFile("w", prefix="rankplan-hosts-") as file:
        file.write("".join(name + "\n" for name in names))
        file.flush()
        yield file.name


def workers() -> str:
    """The pattern of the workers' names."""
    found = os.environ.get("RANKPLAN_WORKERS", "")
    if "%d" not in found:
        raise planned.differs(planned.CONFIGURATION, "RANKPLAN_WORKERS", "a host name with %d", ascii(found[:80]))
    return found


def variables(launch: Dict[str, Any]) -> List[str]:
    """Names of what a rank must see of this environment: MPI gives it that of a login."""
    names = (
        set(launch["environment"])
        | {"MASTER_ADDR", "MASTER_PORT"}
        | set(os.environ.get("RANKPLAN_SECRETS", "").split())
    )
    return sorted(name for name in os.environ if name in names or name.startswith("RANKPLAN_"))


def mpirun(launch: Dict[str, Any], prefix: List[str], count: int, hostfile: str) -> List[str]:
    own = ["--allow-run-as-root"] if os.getuid() == 0 else []
    own += ["-np", str(count), "--map-by", "seq", "--hostfile", hostfile]
    for name in variables(launch):
        own += ["-x", name]
    return prefix + own + [sys.executable, "-I", "-S", os.path.join(planned.HERE, "mpi.py"), "--rank"]


def await_workers(names: List[str], limit: int) -> bool:
    """Wait until every worker's name resolves. False where told to stop before."""
    end = time.monotonic() + limit
    for name in names:
        while True:
            try:
                socket.getaddrinfo(name, None)
                break
            except (OSError, UnicodeError) as error:
                if time.monotonic() > end:
                    raise planned.PlanError(
                        planned.CONFIGURATION, "%s does not resolve after %d s: %s" % (name, limit, error)
                    ) from error
            if family.heard(family.STOPS, 1):
                return False
    return True


def run(command: List[str], mask: Set[int], grace_s: int, restarts: int) -> int:
    """mpirun, started again as a whole."""
    code = 128 + signal.SIGTERM
    for attempt in range(restarts + 1):
        gang = family.Family(grace_s + ENDING_S, mask, family.LEADERS)
        gang.start("mpirun", command, None)
        code = gang.wait()
        gang.end()
        if code == 0 or code in NEVER_RETRIED or gang.stopping:
            break
        planned.say("attempt %d of %d ended with exit code %d" % (attempt + 1, restarts + 1, code))
    return code


def launch_all(prefix: List[str]) -> int:
    mask = family.hold_signals()
    launch, restarts = planned.load(), planned.number("RANKPLAN_MAX_RESTARTS")
    grace_s, limit = planned.number("RANKPLAN_GRACE_S", 30), planned.number("RANKPLAN_DNS_WAIT_S", 600)
    if not await_workers(sorted(set(hosts(launch, workers()))), limit):
        return 128 + signal.SIGTERM
    if os.environ.get("RANKPLAN_BY_HOST"):
        follow_nodes(launch, prefix)
    found = hosts(launch, workers())
    with listed(found) as path:
        return run(mpirun(launch, prefix, len(found), path), mask, grace_s, restarts)


def place(launch: Dict[str, Any], task: int, local: int, host: str) -> Dict[str, str]:
    """The plan's variables of MPI's process `task`, the `local`th of its host. Raises PlanError for a wrong place."""
    per_node = launch["ranks_per_node"]
    node = task if launch["unit"] == "node" else task // per_node
    planned.expect(
        planned.MAPPING,
        "worker of MPI's process %d" % task,
        workers().replace("%d", str(order(launch)[node])).split(".")[0],
        host,
    )
    names = {"NODE_RANK": node, "WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node}
    if launch["unit"] == "rank":
        planned.expect(planned.MAPPING, "local rank of rank %d" % task, task % per_node, local)
        names.update({"RANK": task, "LOCAL_RANK": local})
    return {name: str(value) for name, value in names.items()}


def say_where() -> int:
    planned.put(1, "rankplan-worker %d %s" % (planned.number("OMPI_COMM_WORLD_RANK"), own_node()))
    return 0


def run_rank() -> int:
    launch = planned.load()
    own_node()
    planned.expect(
        planned.CONFIGURATION, "MPI's processes", len(hosts(launch, "%d")), planned.number("OMPI_COMM_WORLD_SIZE")
    )
    task, local = planned.number("OMPI_COMM_WORLD_RANK"), planned.number("OMPI_COMM_WORLD_LOCAL_RANK")
    os.environ.update(place(launch, task, local, os.uname().nodename.split(".")[0]))
    grace_s, mask = planned.number("RANKPLAN_GRACE_S", 30), family.hold_signals()
    program = [sys.executable, "-I", "-S", os.path.join(planned.HERE, "probe.py")]

    def rank(guarded_by: int) -> int:
        own = family.Family(grace_s, mask, guard=guarded_by)
        own.start("rank", program, None)
        code = own.wait()
        own.end()
        return code

    return guard.guarded(rank, mask)[0]  # MPI kills what does not end at once, and knows no children


def main(arguments: List[str]) -> int:
    try:
        if arguments == ["--where"]:
            return say_where()
        return run_rank() if arguments == ["--rank"] else launch_all(arguments)
    except (OSError, planned.PlanError) as error:
        planned.say("ranks cannot be started: %s" % error)
        return getattr(error, "code", planned.CONFIGURATION)


if __name__ == "__main__":
    planned.begin(main)
