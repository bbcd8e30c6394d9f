"""Whether the server of a pod takes requests: exits 0 where it does, else 1 with one line.

    ready.py --node=16*JOB_INDEX+JOB_COMPLETION_INDEX     the pod's place, in variables that its container has

An instance has one server, on its first node: the pods of the others are ready when they run, unless pods take the slots
of their nodes; clients then find the server as the one pod that is ready.
Standard library only, Python 3.6 syntax.
"""

import http.client
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import command, meet, planned, spawn
else:
    import command
    import meet
    import planned
    import spawn

WAIT_S = 4
"""For each answer of the socket; for the whole one twice that."""


LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server listens on, and where it hears itself


def node_rank(arguments: List[str]) -> int:
    """The slot of this pod. The kubelet would replace $(NAME) by nothing in a probe, so names stand alone there."""
    if len(arguments) != 1 or not arguments[0].startswith("--node="):
        raise planned.differs(planned.CONFIGURATION, "arguments", "--node=...", ascii(" ".join(arguments)[:80]))
    text = arguments[0].partition("=")[2]
    return spawn.node_rank(re.sub("[A-Z_]+", lambda name: str(planned.number(name.group())), text))


def unchecked() -> Any:
    """A server's certificate is for the name that clients use, and it is asked by another."""
    import ssl  # not in every image's Python

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(scheme: str, host: str, port: int) -> int:
    """Status of /health, which every inference server has, and answers with 200 once its model is loaded."""
    place = LOOPBACK.get(host, host)
    if scheme == "https":
        connection = http.client.HTTPSConnection(place, port, timeout=WAIT_S, context=unchecked())  # type: http.client.HTTPConnection
    else:
        connection = http.client.HTTPConnection(place, port, timeout=WAIT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def late(*_: object) -> None:
    raise OSError("no answer in %d s" % (2 * WAIT_S))


def main(arguments: List[str]) -> int:
    signal.signal(signal.SIGALRM, late)
    signal.alarm(2 * WAIT_S)
    try:
        node, launch = node_rank(arguments), planned.load()
        if os.environ.get("RANKPLAN_BY_HOST"):
            if meet.slot(launch, planned.node_name()) > 0:
                raise planned.PlanError(
                    planned.CONFIGURATION, "the server is on the node of slot 0, and clients go there"
                )
        elif node > 0:
            return 0
        os.environ["NODE_RANK"] = "0"
        if "http_port" not in launch:
            raise planned.PlanError(planned.CONFIGURATION, "the plan starts no server")
        port = int(command.filled(launch, launch["http_port"]))
        status = ask(launch.get("http_scheme", "http"), launch.get("http_host", "127.0.0.1"), port)
    except (planned.PlanError, OSError, ValueError, http.client.HTTPException) as error:
        planned.say("not ready: %s" % error)
        return 1
    if status != 200:
        planned.say("not ready: /health on port %d answers %d" % (port, status))
    return int(status != 200)


if __name__ == "__main__":
    planned.begin(main)
