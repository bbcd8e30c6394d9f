"""Starts the ranks of one node, each through the self-check, and ends with the first failing rank's exit code.

    spawn.py          the node NODE_RANK of instance RANKPLAN_INSTANCE; waits until MASTER_ADDR resolves
    spawn.py --all    every rank of every instance as a CPU process on this machine
    --node=16*2+3     a pod's node rank, as its manifest works it out from the controller's indices
    --stay            for a controller that starts whatever ends again: stays after a success, and after a mistake that
                      would only be repeated (64, 65, 66), until it is told to stop

Signals are forwarded; when one rank fails the others get SIGTERM, and SIGKILL 30 s later (RANKPLAN_GRACE_S).
Standard library only, Python 3.6 syntax.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned, rank_map
else:
    import planned
    import rank_map

NEVER_RETRIED = (64, 65, 66)
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Ranks:
    """The processes that were started: one process group each, so that a signal reaches a rank's children too."""

    def __init__(self) -> None:
        self.running: Dict[int, str] = {}  # pid -> name
        self.started = 0
        self.starting = True
        self.stopping = False
        self.early: List[int] = []  # signals that came while ranks were being started
        self.code = 0
        for number in FORWARDED:
            signal.signal(number, self.forward)
        signal.signal(signal.SIGALRM, lambda *_: self.send(signal.SIGKILL))

    def forward(self, number: int, _: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stopping = True
        if self.starting:
            self.early.append(number)
        else:
            self.send(number)

    def send(self, number: int) -> None:
        for pid in list(self.running):
            with contextlib.suppress(ProcessLookupError):  # it may have ended just now
                os.killpg(pid, number)

    def start(self, name: str, command: List[str], environment: Dict[str, Any]) -> None:
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        process.returncode = 0  # it is waited for below, by pid
        self.running[process.pid] = name
        self.started += 1

    def wait(self) -> int:
        """Wait for all; the exit code of the first that failed, 128 + n for signal n."""
        self.starting = False
        for number in self.early:
            self.send(number)
        while self.running:
            pid, status = os.wait()
            name = self.running.pop(pid, None)  # as process 1 of a container, orphans end here too
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            if name is not None and code != 0 and self.code == 0:
                self.fail(name, code)
        return self.code

    def fail(self, name: str, code: int) -> None:
        """The first failure: the others would wait for this rank for ever."""
        self.code = code
        planned.say("%s ended with exit code %d; ending the other %d" % (name, code, len(self.running)))
        if not self.stopping:
            self.send(signal.SIGTERM)
        signal.alarm(int(os.environ.get("RANKPLAN_GRACE_S", "30")))


def rows(launch: Dict[str, Any], node: int) -> List[Tuple[str, Dict[str, Any]]]:
    """Name and variables of each process of slot `node`: ranks fill the slots in order."""
    per_node = launch["ranks_per_node"]
    shared = {"WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node, "NODE_RANK": node}
    if launch["unit"] == "node":
        return [("node %d" % node, shared)]
    first = node * per_node
    return [("rank %d" % (first + i), dict(shared, RANK=first + i, LOCAL_RANK=i)) for i in range(per_node)]


def start_node(
    ranks: Ranks, launch: Dict[str, Any], environment: Dict[str, Any], node: int, options: List[str]
) -> None:
    """Start the processes of slot `node`, each through probe.py."""
    command = [sys.executable, "-I", "-S", os.path.join(planned.HERE, "probe.py"), *options]
    for name, row in rows(launch, node):
        ranks.start(name, command, dict(environment, **{key: str(value) for key, value in row.items()}))


def node_rank(text: str) -> int:
    """A sum of products of indices: the job of a set, times its pods, and the pod of that job."""
    total = 0
    for term in text.split("+"):
        product = 1
        for factor in term.split("*"):
            product *= int(factor)
        total += product
    return total


def clean() -> Dict[str, Any]:
    """The environment without another launcher's ranks in it."""
    left_out = ("RANK", "LOCAL_RANK")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def free_ports(count: int) -> List[str]:
    """Ports of this machine that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def start_all(ranks: Ranks, launch: Dict[str, Any]) -> None:
    """Every rank of every instance, here."""
    first = os.environ.get("MASTER_PORT")
    count = launch["instances"]
    ports = [int(first) + i for i in range(count)] if first else free_ports(count)
    for instance, port in enumerate(ports):
        environment = dict(clean(), RANKPLAN_INSTANCE=str(instance), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        for node in range(launch["nodes"]):
            start_node(ranks, launch, environment, node, ["--cpu"])


def await_master(ranks: Ranks) -> bool:
    """Wait until the name of rank 0's host resolves: on Kubernetes some pods start before it has one."""
    name, limit = os.environ.get("MASTER_ADDR", ""), int(os.environ.get("RANKPLAN_DNS_WAIT_S", "600"))
    end, delay = time.time() + limit, 0.5
    while not ranks.stopping:
        try:
            socket.getaddrinfo(name, None)
        except OSError as error:
            if time.time() > end or not name:
                planned.say("MASTER_ADDR=%s does not resolve after %d s: %s" % (name, limit, error))
                return False
        else:
            return True
        time.sleep(delay)
        delay = min(delay * 2, 10)
    return False


def start_own(ranks: Ranks, launch: Dict[str, Any], arguments: List[str]) -> None:
    """The ranks of this node, which a pod knows by its controller's indices."""
    places = [argument[len("--node=") :] for argument in arguments if argument.startswith("--node=")]
    node = node_rank(places[0] if places else os.environ["NODE_RANK"])
    if places:
        rank_map.check(rank_map.FOLDER, launch, node)
    options = [argument for argument in arguments if not argument.startswith("--node=") and argument != "--stay"]
    start_node(ranks, launch, clean(), node, options)


def run(ranks: Ranks, arguments: List[str]) -> int:
    try:
        with open(os.path.join(planned.HERE, "launch.json"), encoding="utf-8") as file:
            launch = json.load(file)
        if "--all" in arguments:
            start_all(ranks, launch)
        else:
            if not await_master(ranks):
                return 128 + signal.SIGTERM if ranks.stopping else planned.CONFIGURATION
            start_own(ranks, launch, arguments)
    except (OSError, ValueError, KeyError, planned.PlanError) as error:
        planned.say("ranks cannot be started: %r" % error)
        ranks.send(signal.SIGKILL)
        return getattr(error, "code", planned.CONFIGURATION)
    code = ranks.wait()
    if code == 0:
        planned.say("%d processes ended with exit code 0" % ranks.started)
    return code


def main(arguments: List[str]) -> int:
    ranks = Ranks()
    code = run(ranks, arguments)
    if "--stay" in arguments and code in (0, *NEVER_RETRIED):
        stops = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # one that comes now is waited for below
        if not ranks.stopping:
            planned.say("exit code %d is kept until this pod is told to stop" % code)
            signal.sigwait(stops)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
