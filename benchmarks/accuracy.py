"""How far projections are from measurements.

    python -m benchmarks.accuracy --rows FOLDER [--csv FILE] [--cross-validate]

Every row of a folder like `measurements/` becomes a plan by itself, is predicted, and compared. A family's error is the
mean over its sources of each source's mean absolute percentage error.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks import borrowed, refused
from benchmarks.cross import PARTS, left_out
from benchmarks.judgement import Judged, by, family_error, judge, printed, reason, source, usable
from benchmarks.rows import serving, training, transfers
from benchmarks.rows.record import Record
from compiler.speed import files

FAMILIES = (
    "dense_training",
    "dense_single_node",
    "moe_training",
    "memory",
    "tpot",
    "ttft",
    "serving_throughput",
    "collectives",
)


def load(folder: Path) -> list[Record]:
    """Every record of a folder, those that are skipped included."""
    return list(
        chain(training.steps(folder), training.memories(folder), serving.records(folder), transfers.records(folder))
    )


def line(name: str, judged: Sequence[Judged], kept: Sequence[Judged]) -> str:
    """A row of the table, in per cent: of those that are kept."""
    skipped = len(judged) - len(kept)
    if not kept:
        return f"{name:<44}{0:>6}{'':>48}{skipped:>9}"
    signed = np.array([item.error for item in kept])
    size = np.abs(signed)
    figures = (family_error(kept), np.median(size), np.percentile(size, 90), size.max(), signed.mean())
    cells = "".join(f"{100 * x:>9.1f}" for x in figures)
    return f"{name:<44}{len(kept):>6}{cells}   {skipped:>9}"


COVERED = {
    "fully specified training rows": FAMILIES[:3],
    "whole-model memory rows of 10 GiB and more with known data parallelism": FAMILIES[3:4],
    "serving records": FAMILIES[4:7],
}


def covered(judged: Sequence[Judged]) -> list[str]:
    """How many of the rows that say all that a prediction needs are predicted."""
    lines = []
    for name, families in COVERED.items():
        whole = [item for item in judged if item.record.family in families and item.record.specified]
        kept = sum(not reason(item) for item in whole)
        if whole:
            lines.append(f"{kept:>6} of {len(whole)} {name}, {100 * kept / len(whole):.1f} %")
    return lines


HEAD = (
    f"{'':<44}{'rows':>6}"
    + "".join(f"{x:>9}" for x in ("error", "median", "p90", "worst", "bias"))
    + f"   {'skipped':>9}"
)


def families(judged: Sequence[Judged], keep: Callable[[Judged], bool]) -> list[str]:
    """A line for each family, and for each of its sources."""
    found, lines = by(judged, lambda item: item.record.family), []
    for family in (name for name in FAMILIES if name in found):
        lines.append(line(family, found[family], [item for item in found[family] if keep(item)]))
        for name, items in sorted(by(found[family], source).items()):
            lines.append(line(f"    {name}", items, [item for item in items if keep(item)]))
    return lines


def table(judged: Sequence[Judged]) -> str:
    """Families, each by source, and why records were skipped."""
    lines = [HEAD, *families(judged, lambda item: not reason(item))]
    apart = [item for item in judged if item.record.unsaid and usable(item)]
    if apart:
        lines += ["", "skipped rows, were the input that they lack as is usual", *families(apart, usable)]
    lines += ["", "predicted", *covered(judged), "", "skipped"]
    reasons = Counter((item.record.family, reason(item)) for item in judged if reason(item))
    lines += [f"{count:>6}  {family}: {why}" for (family, why), count in sorted(reasons.items())]
    lines += ["", "inside the printed interval of four in five", *inside(judged)]
    lines += ["", "error, %, by kind (rows)", *kinds(judged)]
    fallen = borrowed.releases(item.record for item in judged if not reason(item))
    return "\n".join([*lines, *(["", "releases that were not measured", *fallen] if fallen else [])])


def inside(judged: Sequence[Judged]) -> list[str]:
    """How many measurements of each family are within the interval that a plan prints around its projection."""
    kept = [item for item in judged if not reason(item) and np.isfinite(item.high)]
    groups = by(kept, lambda item: item.record.family)
    return [
        f"{100 * np.mean([x.inside for x in groups[name]]):>6.1f} % of {len(groups[name])}  {name}"
        for name in FAMILIES
        if name in groups
    ]


KINDS: dict[str, Callable[[Record], str]] = {
    "GPU": lambda record: record.gpu,
    "release": lambda record: "/".join(record.software),
    "precision": lambda record: record.world.config.workload.precision if record.world else "",
}


def kinds(judged: Sequence[Judged]) -> list[str]:
    """Mean absolute errors of each family by GPU, by release and by precision."""
    lines = []
    for family, items in by([item for item in judged if not reason(item)], lambda item: item.record.family).items():
        for name, key in KINDS.items():
            groups = by(items, lambda item, key=key: key(item.record))  # type: ignore[misc]  # a default binds the loop's
            found = (
                f"{kind or '-'} {100 * np.mean([abs(x.error) for x in group]):.1f} ({len(group)})"
                for kind, group in sorted(groups.items())
            )
            lines.append(f"  {family} by {name}: {', '.join(found)}")
    return lines


def constants() -> list[str]:
    """How many constants of conf/calibration are fitted to whole runs, by level."""
    lines = []
    for name in ("training", "serving"):
        table = files.load(name).get("constants", {})
        counts = {level: sum(map(len, keys.values())) for level, keys in table.items()}
        lines.append(
            f"{sum(counts.values()):>6}  {name}: {', '.join(f'{level} {count}' for level, count in counts.items())}"
        )
    return lines


def write(path: Path, judged: Iterable[Judged]) -> int:
    """A line for each record; 2 where the file cannot be written."""
    try:
        file = path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        print(f"error: --csv {path} cannot be written: {error.strerror} ; name a file in a folder", file=sys.stderr)
        return 2
    with file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["family", "id", "metric", "measured", "predicted", "low", "high", "error_pct", "skipped"])
        for item in judged:
            why, record = reason(item), item.record
            around = [f"{x:.6g}" if np.isfinite(x) else "" for x in (item.low, item.high)]
            numbers = [""] * 4 if why else [f"{item.predicted:.6g}", *around, f"{100 * item.error:.2f}"]
            out.writerow([record.family, record.id, record.metric, f"{record.measured:.6g}", *numbers, why])
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 2 where there is no such folder."""
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description="Projections against measurements.")
    parser.add_argument("--rows", type=Path, required=True, help="a folder like measurements/")
    parser.add_argument("--csv", type=Path, help="write a line for each record")
    parser.add_argument(
        "--cross-validate", action="store_true", help="leave out each source, and each model, and refit"
    )
    args = parser.parse_args(arguments)
    if not args.rows.is_dir():
        print(f"error: --rows {args.rows} is no folder ; give the folder of the CSV files", file=sys.stderr)
        return 2
    records = load(args.rows)
    judged = judge(records)
    print(table(judged))
    print("\n".join(["", "measured runs beyond a GPU's memory, and why", *refused.runs(records)]))
    print("\n".join(["", "constants fitted to whole runs", *constants()]))
    for part in PARTS if args.cross_validate else ():
        kept = [(r, x) for r, x in zip(records, left_out(records, part), strict=True) if np.isfinite(x)]
        instead = " (of collectives: GPU)" if part == "model" else ""
        print(f"\n{part} left out{instead}\n{table([printed(record, value, part) for record, value in kept])}")
    return write(args.csv, judged) if args.csv else 0


if __name__ == "__main__":
    sys.exit(main())
