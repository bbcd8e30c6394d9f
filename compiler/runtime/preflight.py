"""Which nodes of an allocation are fit to use: runs on every node before ranks start, and then once to judge.

    preflight.py FOLDER                    on a node: looks at it and writes FOLDER/<node>.json
    preflight.py FOLDER --judge RUN < hosts     appends nodes that are unfit to RUN/exclude, a `node reason` a line, and
                                           writes RUN/topology where nodes know their switches
    preflight.py --pod                     before the ranks of a pod: exits 64 or 66 with one line where it is unfit

A node that does not answer is unfit; so is one whose driver or NCCL differs from that of most.
Standard library only, Python 3.6 syntax.
"""

import collections
import json
import math
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import family, machine, planned, shape
else:
    import family
    import machine
    import planned
    import shape

ANSWER = {
    "host": shape.text,
    "address": shape.text,
    "problem": shape.perhaps(shape.text),
    "versions": {"*": shape.either_of(shape.text, shape.number)},
}
LATE_S = 5


def look(launch: Dict[str, Any]) -> Dict[str, Any]:
    """What this node is, with its first problem."""
    name = planned.node_name()
    address = os.environ.get("SLURM_TOPOLOGY_ADDR", name)
    seen = {"host": name, "address": address, "problem": None, "versions": {}}  # type: Dict[str, Any]
    if not launch["preflight"]["enabled"]:
        return seen
    try:
        check(launch, launch["gpus_per_node"], seen)
        check_health(launch["preflight"])
        seen["bandwidth"] = check_bandwidth(launch["preflight"])
    except (planned.PlanError, OSError) as wrong:
        seen["problem"] = " ".join(str(wrong).split())
    return seen


def check(launch: Dict[str, Any], gpus: int, seen: Dict[str, Any]) -> None:
    """What this node, or a pod's share of it, has; the first problem raises PlanError."""
    seen["gpus"] = machine.check_gpus(gpus)
    machine.check_ecc()
    check_nics(launch)
    check_limits(launch, bool(seen["gpus"]))
    check_paths(launch)
    seen["versions"] = machine.versions()


def pod(launch: Dict[str, Any]) -> None:
    """The same for a pod, in its own container; the site's health command is of Slurm's nodes."""
    seen = {}  # type: Dict[str, Any]
    check(launch, launch["ranks_per_node"], seen)
    seen["bandwidth"] = check_bandwidth(launch["preflight"])
    versions = ["%s %s" % row for row in sorted(seen["versions"].items())]
    planned.say("preflight on %s: %d GPUs %s" % (planned.node_name(), len(seen["gpus"]), ", ".join(versions)))


def check_nics(launch: Dict[str, Any]) -> None:
    """Every card that a rank of this node uses."""
    for gpu, name in enumerate(launch["nics"]):
        machine.check_nic(name, launch["numa"][gpu] if launch["numa"] else None)


def check_limits(launch: Dict[str, Any], has_gpus: bool) -> None:
    """Limits that NCCL runs into; a node without a GPU tool only smokes."""
    limit, free = machine.memlock(), machine.free_bytes("/dev/shm")  # noqa: S108 - where NCCL looks
    if has_gpus and launch["nics"] and limit is not None:
        raise planned.differs(planned.HARDWARE, "ulimit -l, memory that RDMA may lock", "unlimited", "%d bytes" % limit)
    if has_gpus and free < launch["preflight"]["shm_bytes"]:
        wanted = "%d bytes" % launch["preflight"]["shm_bytes"]
        raise planned.differs(planned.HARDWARE, "free in /dev/shm", wanted, "%d bytes" % free)


def check_paths(launch: Dict[str, Any]) -> None:
    """What ranks read on this node: mounts, the image, secrets."""
    for path in launch["preflight"]["paths"]:
        if not os.access(path.encode("utf-8"), os.R_OK):
            raise planned.differs(planned.CONFIGURATION, "path", ascii(path), "nothing that can be read")


def check_health(wanted: Dict[str, Any]) -> None:
    """The site's own check."""
    if wanted["health_command"]:
        output(wanted["health_command"], wanted["timeout_s"])


def check_bandwidth(wanted: Dict[str, Any]) -> Any:
    """Bytes/s as nccl-tests print them (GB/s), or as the last word; None where nobody asked."""
    if not wanted["bandwidth_command"]:
        return None
    text = output(wanted["bandwidth_command"], wanted["timeout_s"])
    bus = re.findall(r"Avg bus bandwidth *: *(\S+)", text)
    try:
        found = float(bus[-1]) * 1e9 if bus else float(text.split()[-1])
    except (ValueError, IndexError):
        raise planned.differs(planned.HARDWARE, "bandwidth", "a number", ascii(text[-60:])) from None
    if not math.isfinite(found):
        raise planned.differs(planned.HARDWARE, "bandwidth", "a finite number", ascii(text[-60:]))
    if wanted["bandwidth"] is not None and found < wanted["bandwidth"]:
        floor = "%.4g bytes/s or more" % wanted["bandwidth"]
        raise planned.differs(planned.HARDWARE, "bandwidth", floor, "%.4g" % found)
    return found


def output(command: List[str], timeout_s: int) -> str:
    """What a command prints; its failure is the node's."""
    code, text = family.output([word.encode("utf-8") for word in command], timeout_s, "an answer")
    if code:
        last = text.strip().rpartition("\n")[2]
        raise planned.differs(planned.HARDWARE, command[0], "exit code 0", "%d %s" % (code, last))
    return text


def problems(seen: Dict[str, Dict[str, Any]], hosts: List[str]) -> Iterator[str]:
    """`node reason` of every unfit node, in the order of `hosts`."""
    fit = [row for row in seen.values() if not row["problem"]]
    kinds = sorted({kind for row in fit for kind in row["versions"]})
    usual = {kind: collections.Counter(str(row["versions"].get(kind)) for row in fit).most_common(1) for kind in kinds}
    for host in hosts:
        if host not in seen:
            yield "%s gave no answer" % host
        elif seen[host]["problem"]:
            yield "%s has %s" % (host, seen[host]["problem"])
        else:
            for kind in kinds:
                found = str(seen[host]["versions"].get(kind))
                if found != usual[kind][0][0]:
                    yield "%s has %s %s, most nodes have %s" % (host, kind, found, usual[kind][0][0])
                    break


def answers(folder: str, hosts: List[str]) -> Dict[str, Dict[str, Any]]:
    """What each node wrote. A shared file system may show a file some seconds after another node wrote it."""
    wanted = {host + ".json" for host in hosts}
    for _ in range(LATE_S):
        if wanted <= set(os.listdir(folder)):
            break
        time.sleep(1)
    seen = {}
    for name in sorted(wanted & set(os.listdir(folder))):
        path = os.path.join(folder, name)
        try:
            seen[name[: -len(".json")]] = planned.parsed(path, planned.read(path), ANSWER)
        except planned.PlanError as error:  # that node's, and no other's
            planned.say("preflight: %s" % error)
    return seen


def judge(folder: str, run: str, hosts: List[str]) -> None:
    """Bad nodes -> RUN/exclude, each once; switches -> RUN/topology."""
    seen = answers(folder, hosts)
    if not seen:
        raise planned.PlanError(planned.HARDWARE, "no node answered")
    before = planned.lines(os.path.join(run, "exclude"))
    known = {line.split()[0] for line in before}
    bad = [line for line in problems(seen, hosts) if line.split()[0] not in known]
    for line in bad:
        planned.say("preflight: " + line)
    if bad:
        planned.write(os.path.join(run, "exclude"), "".join(line + "\n" for line in before + bad))
    addresses = {host: row["address"] for host, row in seen.items() if row["address"].endswith("." + host)}
    if addresses:
        rows = ("%s %s\n" % (host, address[: -len(host) - 1]) for host, address in addresses.items())
        planned.write(os.path.join(run, "topology"), "".join(rows))


def main(arguments: List[str]) -> int:
    try:
        planned.check_pool()
        if arguments == ["--pod"]:
            pod(planned.load())
        elif len(arguments) == 3 and arguments[1] == "--judge":
            judge(arguments[0], arguments[2], sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split())
        elif len(arguments) == 1:
            seen = look(planned.load())
            planned.write(os.path.join(arguments[0], seen["host"] + ".json"), json.dumps(seen, indent=1) + "\n")
        else:
            raise planned.PlanError(planned.CONFIGURATION, "write preflight.py FOLDER, FOLDER --judge RUN or --pod")
    except (planned.PlanError, OSError) as error:
        planned.say("preflight on %s: %s" % (planned.node_name(), error))
        return getattr(error, "code", planned.CONFIGURATION)
    return 0


if __name__ == "__main__":
    planned.begin(main)
