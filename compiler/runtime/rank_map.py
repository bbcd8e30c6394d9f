"""A rank's row of the plan: from the table where the plan folder has one, else worked out from plan.json.

    rank_map.py 777      the row of rank 777, a column a line

The table is rank_map.csv, or its compressed parts rank_map.csv.<part>.gz; `zcat rank_map.csv.*.gz` gives it back.
Standard library only, Python 3.6 syntax.
"""

import csv
import glob
import gzip
import itertools
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned
else:
    import planned

FOLDER = os.path.dirname(planned.HERE)
ATTENTION, EXPERT = ("tp", "cp", "dp", "pp"), ("etp", "ep", "edp")


def parts(folder: str) -> List[str]:
    """Paths of the table, in the order of their rows; none where the plan is too large to carry it."""
    whole = os.path.join(folder, "rank_map.csv")
    return [whole] if os.path.exists(whole) else sorted(glob.glob(glob.escape(whole) + ".*.gz"))


def lines(paths: List[str]) -> Iterator[str]:
    for path in paths:
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            for line in file:
                yield line


def written(folder: str, first: int, count: int) -> Optional[List[Dict[str, str]]]:
    """Rows of ranks first .. first+count-1 of the table; None where there is none."""
    paths = parts(folder)
    return list(itertools.islice(csv.DictReader(lines(paths)), first, first + count)) if paths else None


def computed(folder: str, launch: Dict[str, Any], rank: int) -> Dict[str, str]:
    """The same row, without the columns of devices, from the grids' sizes and strides."""
    with open(os.path.join(folder, "plan.json"), encoding="utf-8") as file:
        plan = json.load(file)
    gpus, hosts, pp = launch["gpus_per_node"], launch["hosts"], coordinate(plan["grids"]["attention"], "pp", rank)
    row = {"rank": rank, "slot": rank // gpus, "host": hosts[rank // gpus] if hosts else "", "local_rank": rank % gpus}
    for names, grid in ((ATTENTION, "attention"), (EXPERT, "expert")):
        row.update((name, coordinate(plan["grids"][grid], name, rank)) for name in names)
    experts = plan["experts"]["blocks"] if plan["experts"]["moe_stages"][pp] else []
    row["layers"] = ranges(plan["stages"][pp]["chunks"])
    row["experts"] = ranges(experts[int(row["ep"])]) if experts else ""
    return {name: str(value) for name, value in row.items()}


def coordinate(axes: List[Dict[str, Any]], name: str, rank: int) -> int:
    """Coordinate of a rank on an axis, whose runs are a mixed radix, fastest first."""
    found, weight = 0, 1
    for axis in axes:
        if axis["axis"] == name:
            found += rank // axis["stride"] % axis["size"] * weight
            weight *= axis["size"]
    return found


def ranges(found: List[List[int]]) -> str:
    """Inclusive ranges as the table writes them."""
    return ";".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in found)


def row(folder: str, launch: Dict[str, Any], rank: int) -> Dict[str, str]:
    """Raises PlanError where the plan has no such rank."""
    if not 0 <= rank < launch["world_size"]:
        raise planned.PlanError(
            planned.CONFIGURATION, "rank %d is not one of the plan's %d" % (rank, launch["world_size"])
        )
    found = written(folder, rank, 1)
    return computed(folder, launch, rank) if found is None else found[0]


def check(folder: str, launch: Dict[str, Any], node: int) -> None:
    """Hold the table's rows of a slot against the closed form by which its ranks are started."""
    per_node = launch["ranks_per_node"]
    first = node * per_node
    for local, found in enumerate(written(folder, first, per_node) or []):
        expected = (str(first + local), str(node), str(local))
        planned.expect(
            planned.MAPPING, "rank, slot and local rank", expected, (found["rank"], found["slot"], found["local_rank"])
        )


def main(arguments: List[str]) -> int:
    try:
        found = row(FOLDER, planned.load(), int(arguments[0]))
    except (OSError, ValueError, KeyError, IndexError, planned.PlanError) as error:
        sys.stderr.write("rankplan: no row: %s\n" % (error or "write rank_map.py RANK"))
        return planned.CONFIGURATION
    print("\n".join("%-10s %s" % item for item in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
