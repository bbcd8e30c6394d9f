"""Fit `conf/calibration/<gpu>.yaml` from op_gemm.csv, op_moe.csv and collectives.csv.

python -m benchmarks.fit_gpus --rows FOLDER
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from benchmarks import curves
from benchmarks.rows import transfers
from benchmarks.rows.hardware import gpu_file, nominal
from benchmarks.rows.record import Row, read
from compiler.speed.fit import kernels
from compiler.speed.fit.written import digest, plain

PRECISIONS = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4"}
OUT = Path("conf/calibration")


def source(file: str, rows: Iterable[Row]) -> dict[str, Any]:
    """The rows of a curve."""
    return {"file": file, **digest([",".join(row.values()) for row in rows])}


def sorted_rows(path: Path, usable: Any) -> dict[tuple[str, str], list[Row]]:
    """Rows by GPU file and precision or operation."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read(path):
        if key := usable(row):
            groups[gpu_file(row), key].append(row)
    return groups


def gemms(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for (file, key), rows in sorted_rows(folder / "op_gemm.csv", lambda row: PRECISIONS.get(row["dtype"])).items():
        samples = [{**{x: float(row[x]) for x in "mnk"}, "seconds": float(row["latency_ms"]) / 1e3} for row in rows]
        curve, error = kernels.gemm(samples, nominal(file).gpu, key)
        found[file][key] = plain(curve, error, source("op_gemm.csv", rows))
    return found


def _balanced(row: Row) -> str | None:
    usable = row["distribution"] == "balanced" and row["kernel"] != "moe_torch_flow_min_latency"
    return PRECISIONS.get(row["dtype"]) if usable else None


def groups(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    names = {
        "num_tokens": "tokens",
        "hidden": "hidden",
        "inter": "inter",
        "topk": "topk",
        "experts": "experts",
        "moe_ep": "ep",
    }
    for (file, key), rows in sorted_rows(folder / "op_moe.csv", _balanced).items():
        samples = [
            {**{new: float(row[old]) for old, new in names.items()}, "seconds": float(row["latency_ms"]) / 1e3}
            for row in rows
        ]
        curve, error = kernels.grouped(samples, nominal(file).gpu, key)
        found[file][key] = plain(curve, error, source("op_moe.csv", rows))
    return found


def collectives(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    rows = {row["id"]: row for row in read(folder / "collectives.csv")}
    for (file, op), calls in curves.groups(transfers.records(folder)).items():
        curve, error = curves.curve(calls)
        ids = {"first": calls[0].id, "last": calls[-1].id}
        found[file][op] = plain(curve, error, {**source("collectives.csv", (rows[x.id] for x in calls)), **ids})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    parts = {"gemm": gemms(args.rows), "grouped": groups(args.rows), "links": collectives(args.rows)}
    for file in sorted(set().union(*parts.values())):
        content = {"name": file, **{part: found[file] for part, found in parts.items() if file in found}}
        head = "# Fitted by benchmarks/fit_gpus.py. Fractions are of conf/hardware's peak and bandwidth; seconds.\n"
        (args.out / f"{file}.yaml").write_text(head + yaml.safe_dump(content, sort_keys=False, width=120))
        for part, keys in content.items():
            if isinstance(keys, dict):
                print(file, part, {key: value["mean_error"] for key, value in keys.items()})


if __name__ == "__main__":
    main()
