"""Starts the ranks of one node, each through the self-check, and ends with the first failing rank's exit code.

    spawn.py          the node NODE_RANK of instance RANKPLAN_INSTANCE; waits until MASTER_ADDR resolves
    spawn.py --all    every rank of every instance as a CPU process on this machine

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
from typing import Any, Dict, List

CONFIGURATION, MAPPING = 64, 65
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
HERE = os.path.dirname(os.path.abspath(__file__))


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
        say("%s ended with exit code %d; ending the other %d" % (name, code, len(self.running)))
        if not self.stopping:
            self.send(signal.SIGTERM)
        signal.alarm(int(os.environ.get("RANKPLAN_GRACE_S", "30")))


def say(text: str) -> None:
    sys.stderr.write("rankplan: %s\n" % text)
    sys.stderr.flush()


def start_node(
    ranks: Ranks, launch: Dict[str, Any], environment: Dict[str, Any], node: int, options: List[str]
) -> None:
    """Start the processes of slot `node`, each through probe.py."""
    command = [sys.executable, "-I", "-S", os.path.join(HERE, "probe.py"), *options]
    per_node = launch["ranks_per_node"]
    shared = {"WORLD_SIZE": launch["world_size"], "LOCAL_WORLD_SIZE": per_node, "NODE_RANK": node}
    if launch["unit"] == "node":
        rows = [("node %d" % node, shared)]
    else:
        first = node * per_node
        rows = [("rank %d" % (first + i), dict(shared, RANK=first + i, LOCAL_RANK=i)) for i in range(per_node)]
    for name, row in rows:
        ranks.start(name, command, dict(environment, **{key: str(value) for key, value in row.items()}))


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
                say("MASTER_ADDR=%s does not resolve after %d s: %s" % (name, limit, error))
                return False
        else:
            return True
        time.sleep(delay)
        delay = min(delay * 2, 10)
    return False


def main(options: List[str]) -> int:
    ranks = Ranks()
    try:
        with open(os.path.join(HERE, "launch.json"), encoding="utf-8") as file:
            launch = json.load(file)
        if "--all" in options:
            start_all(ranks, launch)
        else:
            if not await_master(ranks):
                return 128 + signal.SIGTERM if ranks.stopping else CONFIGURATION
            start_node(ranks, launch, clean(), int(os.environ["NODE_RANK"]), options)
    except (OSError, ValueError, KeyError) as error:
        say("ranks cannot be started: %r" % error)
        ranks.send(signal.SIGKILL)
        return CONFIGURATION
    code = ranks.wait()
    if code == 0:
        say("%d processes ended with exit code 0" % ranks.started)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
