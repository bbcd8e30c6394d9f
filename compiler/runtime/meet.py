"""A pinned plan on Kubernetes: a pod takes the slot of the node that it is on, and learns where the pod of slot 0 is.

Which pod lands on which of the plan's nodes nobody can choose; so the first pod, whose name all know, waits for the
others, notes from which address each slot calls, and tells all of them that of slot 0.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, planned
else:
    import family
    import planned

LONGEST = 200
"""Bytes of a call and of its answer."""
LIMIT_S = 3600
"""Until the last pod has called: one that unpacks an image of tens of gigabytes takes its time."""
WAIT_S = 0.5


def slot(launch: Dict[str, Any], host: str) -> int:
    """The slot of a node among those of this instance."""
    first = planned.seat(launch, planned.instance())[0]
    own = launch["hosts"][first : first + launch["nodes"]]
    if host not in own:
        raise planned.differs(planned.MAPPING, "host", "one of " + " ".join(own), host)
    return int(own.index(host))


def master(launch: Dict[str, Any], index: int, own: int, limit_s: int) -> Optional[str]:
    """Where the pod of slot 0 is, for pod `index` of slot `own`; None where told to stop.

    Raises PlanError where not all have called in `limit_s` seconds.
    """
    place, port = os.environ["MASTER_ADDR"], planned.port()
    if launch["nodes"] == 1:
        return place
    word = "rankplan %s %d" % (launch["fingerprint"], planned.instance())
    end = time.monotonic() + limit_s
    if index == 0:
        return gather(place, port, word, own, launch["nodes"], end)
    return call(place, port, "%s %d" % (word, own), end)


def listen(port: int) -> socket.socket:
    """On every address of this pod, of both kinds where it has both."""
    try:
        heard = socket.socket(socket.AF_INET6)
        heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        place = "::"
    except OSError:
        heard, place = socket.socket(), "0.0.0.0"  # noqa: S104 - the other pods call from their own addresses
    heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    heard.bind((place, port))
    heard.listen(1 << 10)
    return heard


def gather(place: str, port: int, word: str, own: int, nodes: int, end: float) -> Optional[str]:
    """Wait for a call of every other slot, and answer all of them."""
    known = {own: place}
    callers: List[socket.socket] = []
    with contextlib.closing(listen(port)) as heard:
        try:
            while len(known) < nodes:
                late(end, "slots %s" % " ".join(str(slot) for slot in range(nodes) if slot not in known))
                if select.select([heard], [], [], WAIT_S)[0]:
                    caller, found = answered(heard, word)
                    callers.append(caller)
                    if found is not None and not 0 <= found[0] < nodes:
                        raise planned.differs(planned.MAPPING, "slot", "one below %d" % nodes, found[0])
                    known.update([found] if found else [])
                elif family.heard(family.STOPS, 0):
                    return None
            for caller in callers:
                with contextlib.suppress(OSError):
                    caller.sendall(known[0].encode() + b"\n")
        finally:
            for caller in callers:
                caller.close()
    return known[0]


def answered(heard: socket.socket, word: str) -> Tuple[socket.socket, Optional[Tuple[int, str]]]:
    """A caller, with its slot and address; with none where it is none of ours."""
    caller, address = heard.accept()
    caller.settimeout(5)
    text = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = line(caller)
    start, _, number = text.rpartition(" ")
    ours = start == word and number.isdigit() and len(number) < 9
    return caller, (int(number), address[0].replace("::ffff:", "")) if ours else None


def call(place: str, port: int, text: str, end: float) -> Optional[str]:
    """Tell the first pod of this one, until it answers; its answer."""
    while True:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found = told(place, port, text, end)
            if found != "":
                return found
        if stopped(end, place):
            return None


def told(place: str, port: int, text: str, end: float) -> Optional[str]:
    """The answer to one call, empty where the line was cut; None where this pod is told to stop."""
    with socket.create_connection((place, port), timeout=5) as way:
        way.sendall(text.encode() + b"\n")
        while not select.select([way], [], [], 0)[0]:
            if stopped(end, place):
                return None
        return line(way)


def stopped(end: float, place: str) -> bool:
    """Whether this pod is told to stop, after a while in which it may be."""
    late(end, "an answer of %s" % place)
    return bool(family.heard(family.STOPS, WAIT_S))


def line(way: socket.socket) -> str:
    found = b""
    while not found.endswith(b"\n") and len(found) < LONGEST:
        part = way.recv(LONGEST)
        if not part:
            return ""
        found += part
    return found.decode("ascii").strip()


def late(end: float, what: str) -> None:
    if time.monotonic() > end:
        raise planned.PlanError(planned.CONFIGURATION, "there is nothing of %s in time" % what)
