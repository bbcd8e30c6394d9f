"""Whether groups lie as the plan has them: their spans on the hosts of this allocation against those that were planned.

Standard library only, Python 3.6 syntax.
"""

import itertools
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Sequence, Set, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned

NAMES = ["gpu", "nvlink", "node", "leaf", "pod", "fabric"]
SHOWN = 8

Path = Tuple[str, ...]  # where a host hangs, from the core to its leaf


def verify(
    launch: Dict[str, Any], slots: List[str], places: Dict[str, Path], racks: Dict[str, str], source: str
) -> None:
    """Say which groups are farther apart than planned. Raises PlanError where the plan requires that none is. `racks`: NVLink
    domains of hosts, where they are known; a leaf is one where they are not.
    """
    wanted = launch.get("spans")
    if not wanted:
        return
    if any(host not in places for host in slots):
        if wanted["mode"] == "require":
            unknown = sorted(set(slots) - set(places), key=planned.natural)
            message = "launch.spans=require, and nothing is known of where %s hang" % some(unknown)
            raise planned.PlanError(planned.MAPPING, message)
        return
    near = nearness(slots, places, racks, wanted["domain_nodes"])
    wrong = [
        line for kind, found in sorted(wanted["kinds"].items()) for line in farther(launch, kind, found, near, slots)
    ]
    for line in wrong:
        planned.say("spans: " + line)
    if not wrong:
        planned.say("spans of %d kinds of groups are as planned, by %s" % (len(wanted["kinds"]), source))
    elif wanted["mode"] == "require":
        message = "groups are farther apart than planned, and launch.spans=require: %s" % "; ".join(wrong)
        raise planned.PlanError(planned.MAPPING, message[:1000])


def nearness(
    slots: List[str], places: Dict[str, Path], racks: Dict[str, str], domain_nodes: int
) -> List[Tuple[object, object, object]]:
    """NVLink domain, leaf and pod of each slot; what all hosts hang on is no pod."""
    paths = [places[host] for host in slots]
    shared = sum(1 for _ in itertools.takewhile(lambda at: len(set(at)) == 1, zip(*[path[:-1] for path in paths])))
    found = []  # type: List[Tuple[object, object, object]]
    for host, path in zip(slots, paths):
        domain = racks.get(host, path) if domain_nodes > 1 else host
        found.append((domain, path, path[shared:-1]))
    return found


def farther(
    launch: Dict[str, Any],
    kind: str,
    wanted: Dict[str, Any],
    near: Sequence[Tuple[object, object, object]],
    slots: List[str],
) -> Iterator[str]:
    """A line where more groups of a kind than planned go beyond a link, the farthest such link."""
    planned_groups, found, first = wanted["groups"], [0] * len(NAMES), {}  # type: List[int], List[int], Dict[int, str]
    for index, held in enumerate(seats(launch, wanted)):
        span = level([near[slot] for slot in held])
        found[span] += 1
        first.setdefault(span, "%s/%d on %s" % (kind, index, some([slots[slot] for slot in sorted(held)])))
    for span in range(len(NAMES) - 1, NAMES.index("node"), -1):
        here, there = sum(found[span:]), sum(planned_groups[span:])
        if here > there:
            what = (here, sum(found), kind, NAMES[span], there, first.get(span) or first[max(first)])
            yield "%d of %d %s groups span %s or more, planned %d: such as %s" % what
            return


def seats(launch: Dict[str, Any], wanted: Dict[str, Any]) -> Iterator[Set[int]]:
    """Slots of each group, of all instances."""
    members, ranks = offsets(wanted["members"]), launch["ranks_per_node"]
    base = planned.seat(launch, 0)[0]
    for instance in range(launch["instances"]):
        first = planned.seat(launch, instance)[0] - base
        for start in offsets(wanted["bases"]):
            yield {first + (start + offset) // ranks for offset in members}


def offsets(runs: List[List[int]]) -> List[int]:
    """Every sum of coordinate*stride, the first run fastest."""
    steps = [[at * stride for at in range(size)] for size, stride in reversed(runs)]
    return [sum(parts) for parts in itertools.product(*steps)]


def level(held: List[Tuple[object, object, object]]) -> int:
    """Index into NAMES of the farthest link between slots; of one slot any that is in it."""
    if len(held) == 1:
        return 0
    for name, at in (("nvlink", 0), ("leaf", 1), ("pod", 2)):
        if len({slot[at] for slot in held}) == 1:
            return NAMES.index(name)
    return NAMES.index("fabric")


def some(hosts: List[str]) -> str:
    return " ".join(hosts[:SHOWN]) + " ..." * (len(hosts) > SHOWN)
