"""Hosts -> slots: sorts the hosts of an allocation by topology and writes who runs what.

    bind.py FOLDER < hosts        (one host a line, in any order)

writes into FOLDER: `hosts` (line i is slot i, of all instances), `spares` (hosts left over) and for each instance
`hostfile.<instance>`, a host file for Slurm with each host once a task. Exits 64 or 65 with one line where they don't fit.
Standard library only, Python 3.6 syntax.
"""

import csv
import json
import os
import re
import sys
from typing import Any, Dict, List, Tuple

CONFIGURATION, MAPPING = 64, 65


class PlanError(Exception):
    """Why the hosts cannot be bound, with the exit code that says which kind of mistake it is."""

    def __init__(self, code: int, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code


def natural(name: str) -> List[Tuple[int, int, str]]:
    """A sort key that reads digits as numbers, so that node7 comes before node66."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split("([0-9]+)", name) if part]


def topology(path: str) -> Dict[str, Any]:
    """Sort key (pod, leaf, host), of each host in the plan's table; empty where the plan has none."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in csv.DictReader(file)]
    return {row["host"]: (natural(row["pod"]), natural(row["leaf"]), natural(row["host"])) for row in rows}


def order(hosts: List[str], launch: Dict[str, Any], table: Dict[str, Any]) -> List[str]:
    """All hosts in slot order, spares last."""
    if len(set(hosts)) < len(hosts):
        raise PlanError(MAPPING, "the allocation names a host twice: %s" % " ".join(sorted(hosts, key=natural)))
    pinned: List[str] = launch["hosts"] + launch["spares"]
    if launch["hosts"]:
        missing, other = set(pinned) - set(hosts), set(hosts) - set(pinned)
        if missing or other:
            difference = ["-" + host for host in sorted(missing, key=natural)]
            difference += ["+" + host for host in sorted(other, key=natural)]
            raise PlanError(MAPPING, "the allocation is not the plan's hosts: %s" % " ".join(difference))
        return pinned
    unknown = sorted((host for host in hosts if table and host not in table), key=natural)
    if unknown:
        raise PlanError(MAPPING, "not in the plan's inventory, so in no known place: %s" % " ".join(unknown))
    return sorted(hosts, key=lambda host: table[host] if table else natural(host))


def split(ordered: List[str], launch: Dict[str, Any]) -> Dict[str, Any]:
    """File name -> lines. An instance's nodes follow those of the one before; small ones share a node."""
    ranks, gpus, instances = launch["world_size"], launch["gpus_per_node"], launch["instances"]
    needed = -(-ranks * instances // gpus)
    if len(ordered) < needed:
        raise PlanError(MAPPING, "the plan needs %d hosts, the allocation has %d" % (needed, len(ordered)))
    tasks = launch["ranks_per_node"] if launch["unit"] == "rank" else 1
    files = {"hosts": ordered[:needed], "spares": ordered[needed:]}
    for instance in range(instances):
        first = instance * ranks // gpus
        own = ordered[first : first + launch["nodes"]]
        files["hostfile.%d" % instance] = [host for host in own for _ in range(tasks)]
    return files


def write(folder: str, files: Dict[str, Any]) -> None:
    """Each file appears whole or not at all."""
    for name, lines in files.items():
        path = os.path.join(folder, name)
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".part", path)


def main(folder: str) -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    try:
        with open(os.path.join(here, "launch.json"), encoding="utf-8") as file:
            launch = json.load(file)
        table = topology(os.path.join(here, "inventory.csv"))
        write(folder, split(order(sys.stdin.read().split(), launch, table), launch))
    except PlanError as wrong:
        sys.stderr.write("rankplan: %s\n" % wrong)
        return wrong.code
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write("rankplan: hosts cannot be bound: %r\n" % error)
        return CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
