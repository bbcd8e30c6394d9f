"""Whether the server of a pod takes requests: exits 0 where it does, else 1 with one line.

    ready.py     the pod's place is LWS_WORKER_INDEX

An instance has one server, on its first node: the pods of the others are ready when they run.
Standard library only, Python 3.6 syntax.
"""

import http.client
import os
import signal
import sys
from typing import TYPE_CHECKING, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import command, planned
else:
    import command
    import planned

WAIT_S = 4
"""For each answer of the socket; for the whole one twice that."""


def ask(port: int) -> int:
    """Status of /health, which every inference server has, and answers with 200 once its model is loaded."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


def late(*_: object) -> None:
    raise OSError("no answer in %d s" % (2 * WAIT_S))


def main(_: List[str]) -> int:
    signal.signal(signal.SIGALRM, late)
    signal.alarm(2 * WAIT_S)
    try:
        node = planned.number("LWS_WORKER_INDEX")
        if node > 0:
            return 0
        os.environ["NODE_RANK"] = str(node)
        launch = planned.load()
        if "http_port" not in launch:
            raise planned.PlanError(planned.CONFIGURATION, "the plan starts no server")
        port = int(command.filled(launch, launch["http_port"]))
        status = ask(port)
    except (planned.PlanError, OSError, ValueError, http.client.HTTPException) as error:
        planned.say("not ready: %s" % error)
        return 1
    if status != 200:
        planned.say("not ready: /health on port %d answers %d" % (port, status))
    return int(status != 200)


if __name__ == "__main__":
    planned.begin(main)
