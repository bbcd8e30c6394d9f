"""Starts the ranks of one node, each through the self-check, and ends with the first failing rank's exit code.

    spawn.py          the node NODE_RANK of instance RANKPLAN_INSTANCE; waits until MASTER_ADDR resolves
    spawn.py --all    every rank of every instance as a CPU process on this machine
    --node=16*2+3     a pod's node rank, as its manifest works it out from the controller's indices; with RANKPLAN_BY_HOST
                      the number of the pod, whose node rank is the slot of its node (meet.py)
    --parent=PID      ends when the process that started it does
    --stay            for a controller that starts whatever ends again: stays after a success, and after a mistake that
                      would only be repeated (64, 65, 66), until it is told to stop

Signals are forwarded. When one rank fails, or a signal stops all, ranks and all that they started get SIGTERM, and SIGKILL
30 s later (RANKPLAN_GRACE_S); so does what ranks left behind when all have ended. If this program is killed, they are too.
Standard library only, Python 3.6 syntax.
"""

import os
import re
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, guard, meet, planned, rank_map
else:
    import family
    import guard
    import meet
    import planned
    import rank_map

NEVER_RETRIED = (64, 65, 66)
OPTIONS = {"--all": False, "--node": True, "--parent": True, "--stay": False}
"""Which there are, and whether a value stands behind."""


def rows(launch: Dict[str, Any], node: int) -> List[Tuple[str, Dict[str, Any]]]:
    """Name and variables of each process of slot `node`: ranks fill the slots in order."""
    per_node = launch["ranks_per_node"]
    shared = {"WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node, "NODE_RANK": node}
    if launch["unit"] == "node":
        return [("node %d" % node, shared)]
    first = node * per_node
    return [("rank %d" % (first + i), dict(shared, RANK=first + i, LOCAL_RANK=i)) for i in range(per_node)]


def start_node(
    ranks: family.Family, launch: Dict[str, Any], environment: Dict[str, str], node: int, options: List[str]
) -> int:
    """Start the processes of slot `node`, each through probe.py; how many they are."""
    command = [sys.executable, "-I", "-S", os.path.join(planned.HERE, "probe.py"), *options]
    found = rows(launch, node)
    for name, row in found:
        ranks.start(name, command, dict(environment, **{key: str(value) for key, value in row.items()}))
    return len(found)


def node_rank(text: str) -> int:
    """A sum of products of indices: the job of a set, times its pods, and the pod of that job."""
    if not re.fullmatch(r"[0-9]{1,9}([+*][0-9]{1,9})*", text):
        raise planned.differs(planned.CONFIGURATION, "--node", "a sum of products such as 1*2+0", ascii(text[:80]))
    total = 0
    for term in text.split("+"):
        product = 1
        for factor in term.split("*"):
            product *= int(factor)
        total += product
    return total


def known(arguments: List[str]) -> Tuple[Dict[str, str], Optional[int]]:
    """Options by name, with the process that started this one where they say which. Raises PlanError for any other."""
    found = {}
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option not in OPTIONS or bool(equals) != OPTIONS[option] or option in found:
            usage = "each of %s once" % ", ".join(name + "=..." * OPTIONS[name] for name in OPTIONS)
            raise planned.differs(planned.CONFIGURATION, "arguments", usage, ascii(argument[:80]))
        found[option] = value
    if "--parent" not in found:
        return found, None
    if not re.fullmatch("[1-9][0-9]{0,8}", found["--parent"]):
        raise planned.differs(planned.CONFIGURATION, "--parent", "a process", ascii(found["--parent"][:80]))
    return found, int(found["--parent"])


def clean() -> Dict[str, str]:
    """The environment without another launcher's ranks in it."""
    left_out = ("RANK", "LOCAL_RANK")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def free_ports(count: int) -> List[int]:
    """Ports of this machine that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def start_all(ranks: family.Family, launch: Dict[str, Any]) -> int:
    """Every rank of every instance, here; how many processes they are."""
    count, started = launch["instances"], 0
    first = planned.port() if os.environ.get("MASTER_PORT") else 0
    if first + count > 1 << 16:
        raise planned.differs(planned.CONFIGURATION, "MASTER_PORT", "room for %d ports" % count, first)
    for instance, port in enumerate(range(first, first + count) if first else free_ports(count)):
        environment = dict(clean(), RANKPLAN_INSTANCE=str(instance), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        for node in range(launch["nodes"]):
            started += start_node(ranks, launch, environment, node, ["--cpu"])
    return started


def await_master(limit_s: int) -> bool:
    """Wait until the name of rank 0's host resolves: on Kubernetes some pods start before it has one. False where told to stop."""
    name = os.environ.get("MASTER_ADDR", "")
    if not name:
        raise planned.differs(planned.CONFIGURATION, "MASTER_ADDR", "the host of rank 0", "nothing: it is not set")
    end, delay = time.monotonic() + limit_s, 0.5
    while True:
        try:
            socket.getaddrinfo(name, None)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label of more than 63 letters
            if time.monotonic() > end:
                raise planned.PlanError(
                    planned.CONFIGURATION, "MASTER_ADDR=%s does not resolve after %d s: %s" % (name, limit_s, error)
                ) from None
        else:
            return True
        if family.heard(family.STOPS, delay):
            return False
        delay = min(delay * 2, 10)


def start(ranks: family.Family, launch: Dict[str, Any], options: Dict[str, str]) -> int:
    """Start what the options say, once everything that is given has been looked at; how many processes they are."""
    planned.instance()
    planned.check_pool()
    rank_map.check(rank_map.FOLDER, launch)
    if "--all" in options:
        return start_all(ranks, launch)
    node = node_rank(options["--node"]) if "--node" in options else planned.number("NODE_RANK")
    if node >= launch["nodes"]:
        raise planned.differs(planned.CONFIGURATION, "NODE_RANK", "one below %d" % launch["nodes"], node)
    if not await_master(planned.number("RANKPLAN_DNS_WAIT_S", 600)):
        return 0
    if os.environ.get("RANKPLAN_BY_HOST"):
        own = meet.slot(launch, planned.node_name())
        found = meet.master(launch, node, own, planned.number("RANKPLAN_MEET_WAIT_S", meet.LIMIT_S))
        if found is None:
            return 0
        node, os.environ["MASTER_ADDR"] = own, found
    return start_node(ranks, launch, clean(), node, [])


def run(mask: Set[int], options: Dict[str, str], guarded_by: int) -> int:
    """Start the ranks and wait for them; the exit code."""
    ranks = None
    try:
        ranks = family.Family(planned.number("RANKPLAN_GRACE_S", 30), mask, guard=guarded_by)
        count = start(ranks, planned.load(), options)
        if not count:
            return 128 + signal.SIGTERM
    except (OSError, planned.PlanError) as error:
        planned.say("ranks cannot be started: %s" % error)
        if ranks:
            ranks.kill()
        return getattr(error, "code", planned.CONFIGURATION)
    code = ranks.wait()
    ranks.end()
    if code == 0:
        planned.say("%d processes ended with exit code 0" % count)
    return code


def main(arguments: List[str]) -> int:
    mask = family.hold_signals()
    try:
        options, parent = known(arguments)
    except planned.PlanError as error:
        planned.say("ranks cannot be started: %s" % error)
        return error.code
    if parent is not None:
        family.prctl(family.PR_SET_PDEATHSIG, signal.SIGTERM)
        if not family.exists(parent):
            return 128 + signal.SIGTERM
    code, stopped = guard.guarded(lambda guarded_by: run(mask, options, guarded_by), mask)
    if "--stay" in options and code in (0, *NEVER_RETRIED) and not stopped:
        planned.say("exit code %d is kept until this pod is told to stop" % code)
        while not family.heard(family.STOPS, family.LOOK_S):
            pass
    return code


if __name__ == "__main__":
    planned.begin(main)
