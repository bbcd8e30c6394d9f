"""Hosts -> slots: sorts the hosts of an allocation by topology and writes who runs what.

    bind.py FOLDER < hosts        (one host a line, in any order)

Reads `inventory.csv` beside this file or else FOLDER/topology (`host switch.switch...` a line), and FOLDER/exclude (`host
reason` a line). Writes into FOLDER: `hosts` (line i is slot i, of all instances), `spares` (hosts left over) and for each
instance `hostfile.<instance>`, a host file for Slurm with each host once a task. Exits 64, 65 or 66 with one line where
the hosts don't fit. Standard library only, Python 3.6 syntax.
"""

import csv
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import pack, planned, shape, spans
else:
    import pack
    import planned
    import shape
    import spans

Places = Dict[str, Tuple[str, ...]]  # host -> where it hangs, from the core to its leaf


def inventory(path: str) -> Places:
    """The plan's own table of hosts."""
    rows, found = csv.reader(io.StringIO(planned.text(path))), {}  # type: Any, Places
    try:
        header = next(rows, [])  # type: List[str]
        host, pod, leaf = (header.index(name) for name in ("host", "pod", "leaf"))
        for row in rows:
            if row:
                found[row[host].strip()] = (row[pod].strip(), row[leaf].strip())
    except (csv.Error, ValueError, IndexError):  # no such column, or a row that is cut off
        message = "%s: line %d is no row of a table with the columns host, pod and leaf" % (path, rows.line_num)
        raise planned.PlanError(planned.CONFIGURATION, message) from None
    return found


def racks(path: str) -> Dict[str, str]:
    """NVLink domains of hosts, where the plan's table names them."""
    if not os.path.exists(path):
        return {}
    rows = csv.DictReader(io.StringIO(planned.text(path)))
    return {
        row["host"].strip(): "%s/%s" % (row.get("pod"), row["rack"])
        for row in rows
        if row.get("host") and row.get("rack")
    }


def switches(path: str) -> Places:
    """What the cluster says: a host and its switches, joined by dots or slashes."""
    rows = (line.split(None, 1) for line in planned.lines(path))
    return {row[0]: tuple(re.split("[./]", row[1])) for row in rows if len(row) == 2}


def order(hosts: List[str], places: Places, source: str) -> List[str]:
    """Hosts by place and then in natural order of their names; by name alone where no places are known."""
    if len(set(hosts)) < len(hosts):
        raise planned.PlanError(planned.MAPPING, "the allocation names a host twice: %s" % listed(hosts))
    unknown = [host for host in hosts if places and host not in places]
    if unknown:
        raise planned.PlanError(planned.MAPPING, "not in %s, so in no known place: %s" % (source, listed(unknown)))
    return sorted(
        hosts, key=lambda host: ([planned.natural(part) for part in places.get(host, ())], planned.natural(host))
    )


def choose(ordered: List[str], needed: int, places: Places, block: Optional[int]) -> List[str]:
    """The hosts that get slots, in their order. `block` is how many nodes the plan has on a leaf.

    Whole blocks of a leaf come first, so that what is planned on one leaf stays there, and spares are what sticks out.
    """
    leaves = {}  # type: Dict[Any, List[str]]
    for host in ordered:
        leaves.setdefault(places.get(host), []).append(host)
    if not places or not block:
        return ordered[:needed]
    whole = [host for leaf in leaves.values() for host in leaf[: len(leaf) // block * block]]
    rest = [leaf[len(leaf) // block * block :] for leaf in reversed(list(leaves.values()))]
    rest.sort(key=len, reverse=True)
    kept = set((whole + [host for leaf in rest for host in leaf])[:needed])
    return [host for host in ordered if host in kept]


def packed(ordered: List[str], launch: Dict[str, Any], places: Places, domains: Dict[str, str]) -> List[str]:
    """The hosts of the slots, blocks that talk to each other within one part of the network, as placement=best has them."""
    deepest = max(len(places[host]) for host in ordered)
    wide = launch["spans"]["domain_nodes"] > 1
    where = []
    for host in ordered:
        path = places[host] + places[host][-1:] * (deepest - len(places[host]))
        where.append((host, (*path, domains.get(host, "")) if wide else path))
    order = launch["pack"]["slots"]
    found = pack.pack(where, launch["pack"]["sizes"], len(order))
    return [host for _, host in sorted(zip(order, found))]


def pinned(hosts: List[str], launch: Dict[str, Any], left_out: Dict[str, str], places: Places) -> List[str]:
    """The plan's own hosts in their slots; a spare, of the same leaf where there is one, for each that is left out."""
    wanted = launch["hosts"] + launch["spares"]
    missing, other = set(wanted) - set(hosts), set(hosts) - set(wanted)
    if missing or other:
        difference = ["-" + host for host in sorted(missing, key=planned.natural)]
        difference += ["+" + host for host in sorted(other, key=planned.natural)]
        raise planned.PlanError(planned.MAPPING, "the allocation is not the plan's hosts: %s" % " ".join(difference))
    spares = [host for host in launch["spares"] if host not in left_out]
    found = []
    for slot, host in enumerate(launch["hosts"]):
        if host in left_out and spares:
            near = [spare for spare in spares if places.get(spare) == places.get(host)]
            taken = spares.pop(spares.index((near or spares)[0]))
            planned.say("slot %d: %s in the place of %s, which %s" % (slot, taken, host, left_out[host]))
            host = taken  # noqa: PLW2901 - who sits in the slot now
        found.append(host)
    return [host for host in found if host not in left_out]


def listed(hosts: List[str]) -> str:
    return " ".join(sorted(hosts, key=planned.natural))


def instances(slots: List[str], launch: Dict[str, Any], spares: Sequence[str] = ()) -> Dict[str, List[str]]:
    """Host file of each instance. Its nodes follow those of the one before; small ones share a node. Spares on which a launcher
    waits stand behind.
    """
    tasks = launch["ranks_per_node"] if launch["unit"] == "rank" else 1
    files = {}
    for instance in range(launch["instances"]):
        first, _ = planned.seat(launch, instance)
        own = [*slots[first : first + launch["nodes"]], *spares[: launch.get("standby", 0)]]
        files["hostfile.%d" % instance] = [host for host in own for _ in range(tasks)]
    return files


def bind(folder: str, hosts: List[str], launch: Dict[str, Any]) -> Dict[str, List[str]]:
    """File name -> lines."""
    for host in hosts:
        if not host.isprintable():
            raise planned.PlanError(planned.CONFIGURATION, "%s is no host" % ascii(host)[:80])
    left_out = dict([*line.split(None, 1), "is left out"][:2] for line in planned.lines(folder + "/exclude"))
    source, places = "the plan's inventory", {}  # type: Tuple[str, Places]
    if os.path.exists(os.path.join(planned.HERE, "inventory.csv")):
        places = inventory(os.path.join(planned.HERE, "inventory.csv"))
    elif os.path.exists(folder + "/topology"):
        source, places = "the cluster's topology", switches(folder + "/topology")
    needed = shape.within(launch)["nodes"]
    usable = [host for host in hosts if host not in left_out]
    if launch["hosts"]:
        source, ordered = "the plan", pinned(hosts, launch, left_out, places)
        slots, usable = ordered, ordered + [host for host in launch["spares"] if host in usable and host not in ordered]
    else:
        usable = order(usable, places, source)
        domains = racks(os.path.join(planned.HERE, "inventory.csv"))
        by_blocks = places and launch.get("pack") and len(usable) >= needed == len(launch["pack"]["slots"])
        slots = (
            packed(usable, launch, places, domains)
            if by_blocks
            else choose(usable, needed, places, launch["nodes_per_leaf"])
        )
    if len(slots) < needed:
        raise too_few(needed, hosts, {host: left_out[host] for host in hosts if host in left_out})
    spares = [host for host in usable if host not in set(slots)]
    first = planned.first_of_allocation(launch)
    slots = slots[first : first + shape.all_nodes(launch)]
    how = source if places or launch["hosts"] else "name"
    planned.say(
        "%d hosts in slots, ordered by %s; spare: %s; left out: %s"
        % (len(slots), how, listed(spares) or "none", listed([host for host in hosts if host in left_out]) or "none")
    )
    verify(folder, launch, slots, places)
    return dict(instances(slots, launch, spares), hosts=slots, spares=spares)


def verify(folder: str, launch: Dict[str, Any], slots: List[str], places: Places) -> None:
    """Spans on these hosts: by what the cluster says itself, else by the plan's inventory."""
    source = "the plan's inventory"
    if os.path.exists(folder + "/topology"):
        source, places = "the cluster's topology", switches(folder + "/topology")
    spans.verify(launch, slots, places, racks(os.path.join(planned.HERE, "inventory.csv")), source)


def too_few(needed: int, hosts: List[str], left_out: Dict[str, str]) -> planned.PlanError:
    """The allocation is too small, or became so."""
    message = "the plan needs %d hosts, the allocation has %d" % (needed, len(hosts))
    if not left_out:
        return planned.PlanError(planned.MAPPING, message)
    some = sorted(left_out, key=planned.natural)[:8]
    reasons = "; ".join("%s %s" % (host, left_out[host]) for host in some) + ", ..." * (len(some) < len(left_out))
    return planned.PlanError(planned.HARDWARE, "%s, and %d cannot be used: %s" % (message, len(left_out), reasons))


def main(arguments: List[str]) -> int:
    try:
        if len(arguments) != 1:
            raise planned.PlanError(planned.CONFIGURATION, "write bind.py FOLDER")
        planned.check_pool()
        hosts = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split()
        for name, rows in bind(arguments[0], hosts, planned.load()).items():
            planned.write(os.path.join(arguments[0], name), "".join(row + "\n" for row in rows))
    except (OSError, planned.PlanError) as wrong:
        planned.say("hosts cannot be bound: %s" % wrong)
        return getattr(wrong, "code", planned.CONFIGURATION)
    return 0


if __name__ == "__main__":
    planned.begin(main)
