"""A rank's row of the plan: from the table where the plan folder has one, else worked out from plan.json.

    rank_map.py 777      the row of rank 777, a column a line

The table is rank_map.csv, or its compressed parts rank_map.csv.<part>.gz; `zcat rank_map.csv.*.gz` gives it back.
Standard library only, Python 3.6 syntax.
"""

import contextlib
import csv
import glob
import gzip
import io
import itertools
import os
import re
import sys
import zlib
from typing import TYPE_CHECKING, Any, Dict, Generator, List, Optional

sys.dont_write_bytecode = True  # a plan folder holds what its manifest says
sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # python -I leaves it out
if TYPE_CHECKING:
    from compiler.runtime import planned, shape
else:
    import planned
    import shape

FOLDER = os.path.dirname(planned.HERE)
ATTENTION, EXPERT = ("tp", "cp", "dp", "pp"), ("etp", "ep", "edp")
COLUMNS = ["rank", "slot", "host", "local_rank", *ATTENTION, *EXPERT, "layers", "experts"]
LINE = 1 << 16
"""Bytes that hold the longest row."""
AXES = [{"axis": shape.text, "size": shape.whole(1), "stride": shape.whole(1)}]
RANGES = [[shape.whole(-1)]]
PLAN = {
    "grids": {"attention": AXES, "expert": AXES},
    "stages": [{"chunks": RANGES}],
    "experts": {"blocks": [RANGES], "moe_stages": [shape.boolean], "?by_layer": shape.boolean},
}
"""What is read of plan.json."""


def parts(folder: str) -> List[str]:
    """Paths of the table, in the order of their rows; none where the plan is too large to carry it."""
    whole = os.path.join(folder, "rank_map.csv")
    return [whole] if os.path.exists(whole) else sorted(glob.glob(glob.escape(whole) + ".*.gz"))


def table(paths: List[str]) -> Generator[List[str], None, None]:
    """Rows of the table, its header first. Raises PlanError with the file that cannot be read."""
    for path in paths:
        try:
            with planned.opened(path) as file:
                content = gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file
                with io.TextIOWrapper(content, "utf-8", newline="") as lines:
                    for row in csv.reader(lines):
                        yield row
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise unreadable(path, error) from None


def unreadable(path: str, reason: object) -> planned.PlanError:
    return planned.PlanError(planned.CONFIGURATION, "%s: %s" % (path, reason))


def named(path: str, header: List[str]) -> List[str]:
    """The header, which begins with the columns that every table has."""
    if header[: len(COLUMNS)] != COLUMNS:
        raise unreadable(path, "expected a header that begins with %s, found %s" % (",".join(COLUMNS), header[:13]))
    return header


def written(folder: str, rank: int) -> Optional[Dict[str, str]]:
    """A rank's row of the table; None where there is no table."""
    paths = parts(folder)
    if not paths:
        return None
    with contextlib.closing(table(paths)) as found:
        header = named(paths[0], next(found, []))
        row = next(itertools.islice(found, rank, None), [])
    if len(row) != len(header) or row[0] != str(rank):
        raise unreadable(paths[0], "expected the row of rank %d, found %s" % (rank, ascii(",".join(row))[:80]))
    return dict(zip(header, row))


def computed(folder: str, launch: Dict[str, Any], rank: int) -> Dict[str, str]:
    """The same row, without the columns of devices, from the grids' sizes and strides."""
    path = os.path.join(folder, "plan.json")
    plan = planned.parsed(path, planned.read(path), PLAN)
    hosts, pp = launch["hosts"], coordinate(plan["grids"]["attention"], "pp", rank)
    slot, local = divmod(rank, launch["ranks_per_node"])
    host = hosts[planned.first_of_allocation(launch) + slot] if hosts else ""
    row = {"rank": rank, "slot": slot, "host": host, "local_rank": local}
    for names, grid in ((ATTENTION, "attention"), (EXPERT, "expert")):
        row.update((name, coordinate(plan["grids"][grid], name, rank)) for name in names)
    try:
        experts = plan["experts"]["blocks"] if plan["experts"]["moe_stages"][pp] else []
        row["layers"] = ranges(plan["stages"][pp]["chunks"])
        held = ranges(experts[int(row["ep"])]) if experts else ""
        row["experts"] = "*" if held and plan["experts"].get("by_layer") else held
    except (IndexError, ValueError):  # too few, or a range that is none
        raise unreadable(path, "stages and experts do not fit its grids") from None
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
    """Inclusive ranges as the table writes them; one that ends before it begins is empty."""
    return ";".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in found if first <= last)


def row(folder: str, launch: Dict[str, Any], rank: int) -> Dict[str, str]:
    """Raises PlanError where the plan has no such rank."""
    if not 0 <= rank < launch["world_size"]:
        raise planned.PlanError(
            planned.CONFIGURATION, "rank %d is not one of the plan's %d" % (rank, launch["world_size"])
        )
    return written(folder, rank) or computed(folder, launch, rank)


def check(folder: str, launch: Dict[str, Any]) -> None:
    """Hold every row of the table against the closed form by which ranks are started."""
    paths, count = parts(folder), 0
    if not paths:
        return
    check_ends(folder, launch)
    with contextlib.closing(table(paths)) as found:
        columns = len(named(paths[0], next(found, [])))
        for count, row in enumerate(found, 1):
            check_row(paths[0], launch, count - 1, row, columns)
    planned.expect(planned.CONFIGURATION, "rows of " + paths[0], launch["world_size"], count)


def check_row(path: str, launch: Dict[str, Any], rank: int, row: List[str], columns: int) -> None:
    """Hold the row that should be `rank`'s against its closed form."""
    if rank == launch["world_size"]:
        raise unreadable(path, "there are more rows than the plan's %d ranks" % rank)
    if len(row) != columns:
        raise unreadable(path, "row %d has %d of %d columns" % (rank + 1, len(row), columns))
    expected, found = tuple(map(str, (rank, *divmod(rank, launch["ranks_per_node"])))), (row[0], row[1], row[3])
    planned.expect(planned.MAPPING, path + ": rank, slot and local rank", expected, found)


def check_ends(folder: str, launch: Dict[str, Any]) -> None:
    """That the table is whole, for every rank: its header and its last row, whatever its size."""
    path = os.path.join(folder, "rank_map.csv")
    if not os.path.exists(path):
        return
    try:
        with planned.opened(path) as file:
            header = file.readline(LINE).decode("utf-8").rstrip("\r\n").split(",")
            file.seek(max(0, os.fstat(file.fileno()).st_size - LINE))
            last = file.read(LINE).decode("utf-8", "replace")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None
    columns, rows = len(named(path, header)), last.split("\n")
    ranks = range(launch["world_size"] - 1, -1, -1)
    whole = all(row.startswith("%d," % rank) for row, rank in zip(rows[-2:0:-1], ranks))
    if rows[-1] or len(rows) < 3 or not whole:
        expected = "rows up to rank %d's and a line break" % ranks[0]
        raise planned.differs(planned.CONFIGURATION, "end of " + path, expected, ascii(last[-40:]))
    planned.expect(planned.CONFIGURATION, "columns at the end of " + path, columns, len(next(csv.reader([rows[-2]]))))


def main(arguments: List[str]) -> int:
    try:
        if len(arguments) != 1 or not re.fullmatch("[0-9]{1,9}", arguments[0]):
            raise planned.PlanError(planned.CONFIGURATION, "write rank_map.py RANK")
        found = row(FOLDER, planned.load(), int(arguments[0]))
    except planned.PlanError as error:
        planned.say("no row: %s" % error)
        return planned.CONFIGURATION
    planned.put(1, "\n".join("%-10s %s" % item for item in found.items()))
    return 0


if __name__ == "__main__":
    planned.begin(main)
