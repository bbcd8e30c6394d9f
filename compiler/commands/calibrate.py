"""Fit a calibration file from a site's own measurements: output of nccl-tests, and CSVs of GEMM times and of its own runs."""

from __future__ import annotations

import copy
import json
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from compiler.commands import own_runs
from compiler.config.load import load_config
from compiler.costs.calibration import KernelCurve, LinkCurve
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.entry import Parser, finish
from compiler.errors import ConfigError, WriteError, short, shown
from compiler.inputs import table
from compiler.inputs.file import text as text_of
from compiler.render.atomic import write_file
from compiler.specs.hardware import Hardware
from compiler.specs.ranges import problems
from compiler.speed import calibrated, files, site
from compiler.speed.fit import kernels, links
from compiler.speed.fit.written import digest, plain
from compiler.speed.site import PART

OPS = (("all_?reduce", "all_reduce"), ("all_?gather", "all_gather"), ("reduce_?scatter", "reduce_scatter"))
OPERATIONS = (*OPS, ("all_?to_?all", "all_to_all"))
"""How a file's name, or nccl-tests' own first lines, tell the operation."""

HEAD = "# Fitted by python -m compiler.calibrate. Fractions are of the hardware file's peak and bandwidth; seconds.\n"
FEWEST = 5
SIZES = ("m", "n", "k", "seconds")
COLUMNS = ("m", "n", "k", "dtype", "seconds")
LEAST = 1e-12
"""Seconds that nothing is measured in, and its inverse: bytes and rows that nothing has."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Exit 0 where a file was written, 2 for bad input, 4 where it cannot be written."""
    finish(run, argv)


def run(argv: Sequence[str]) -> int:
    """Print each curve's mean error, and how far runs shift the constants. Raises ConfigError."""
    args = _arguments(argv)
    hardware = load_config([f"hardware={args.hardware}"], args.config_dir).hardware
    content = _kept(args.out.stem, hardware)
    texts = {path: text_of(str(path), path, "name a text file of measurements") for path in args.files}
    runs = [path for path, text in texts.items() if path.suffix.lower() == ".csv" and own_runs.is_own(str(path), text)]
    if len(runs) > 1:
        raise ConfigError.of(f"{len(runs)} files of runs: {', '.join(map(str, runs))}", "write their rows into one")
    errors = [
        error for path, text in texts.items() if path not in runs for error in _curves(path, text, hardware, content)
    ]
    dropped = list(content.pop(PART)) if errors else []  # they were of the curves before
    shifts = [shift for path in runs for shift in own_runs.shifts(path, texts[path], hardware, content)]
    _write(args.out, {part: found for part, found in content.items() if found or part != PART})
    if args.json:
        said = {
            "out": str(args.out),
            "curves": errors,
            "runs": [shift.to_dict() for shift in shifts],
            "dropped": dropped,
        }
        print(json.dumps(said, indent=1))
        return 0
    for error in errors:
        name, off = Path(error["file"]).name, f"{error['mean_error']:.1%}"
        print(shown(f"{name}: {error['part']} {error['curve']}, mean error {off} over {error['rows']} rows"))
    if dropped:
        print(
            f"runs of {', '.join(dropped)}: dropped, as they were held against other curves; give them again beside these"
        )
    for shift in shifts:
        print(shown(shift.text))
    own = f"--config-dir={args.config_dir} " if args.config_dir else ""
    print(shown(f"{args.out}: use it with {own}hardware={args.hardware} hardware.calibration={args.out}"))
    return 0


def _curves(path: Path, text: str, hardware: Hardware, content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Add the curves of a file to what is written; how far off each is."""
    found = gemms(path, text, hardware) if path.suffix.lower() == ".csv" else transfers(path, text, hardware)
    for part, curves in found.items():
        content[part] |= curves
        for key, curve in curves.items():
            off, count = curve["mean_error"], curve["rows"]["count"]
            yield {"file": str(path), "part": part, "curve": key, "mean_error": off, "rows": count}


def _arguments(argv: Sequence[str]) -> Namespace:
    parser = Parser(
        prog="python -m compiler.calibrate",
        description="Fit a cluster's GEMM and collective curves, and shift constants to its own runs.",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="nccl-tests output, or a CSV m,n,k,dtype,seconds or plan,step_time_s,ttft_s,tpot_s",
    )
    parser.add_argument("--hardware", required=True, help="the hardware file that the curves are fractions of")
    parser.add_argument("--config-dir", help="a folder of your own group folders")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, required=True, help="the calibration file to write")
    return parser.parse_args(argv)


def _kept(name: str, hardware: Hardware) -> dict[str, Any]:
    """What is not measured anew stays as the hardware's own curves have it. Raises ConfigError for curves that are none."""
    known = {}
    if hardware.calibration is not None and calibrated.gpu(hardware.calibration) is not None:  # it is checked there
        known = files.load(hardware.calibration)
        site.read(known)
    return {"name": name} | {part: copy.deepcopy(known.get(part, {})) for part in ("gemm", "grouped", "links", PART)}


def _write(out: Path, content: dict[str, Any]) -> None:
    """In one step. Raises WriteError, also for a folder or a device in the file's place."""
    import yaml

    if out.exists() and not out.is_file():
        raise WriteError.of(f"--out {short(out)} cannot be written: it is no file", "name a file in a folder")
    write_file(out.resolve(), HEAD + yaml.safe_dump(content, sort_keys=False, width=120))


def gemms(path: Path, text: str, hardware: Hardware) -> dict[str, dict[str, Any]]:
    """A curve for each dtype (bf16, fp8, fp8_block, nvfp4) of a CSV with the columns m, n, k, dtype, seconds."""
    _, lines = table.read(str(path), text, COLUMNS)
    rows = [row for _, row in lines]
    groups: dict[str, list[dict[str, float]]] = {}
    for number, row in lines:
        groups.setdefault(row["dtype"], []).append({key: _measured(f"{path} line {number}", key, row) for key in SIZES})
    bad = sorted(set(groups) - set(kernels.PEAKS)) or [key for key, items in groups.items() if len(items) < FEWEST]
    if bad or not groups:
        raise ConfigError.of(
            f"{path}: {short(', '.join(bad)) or 'no row'} cannot be fitted",
            f"write at least {FEWEST} rows of each dtype, one of {', '.join(kernels.PEAKS)}",
        )
    found = {}
    for key, samples in groups.items():
        with np.errstate(all="ignore"):
            curve, off = kernels.gemm(samples, hardware.gpu, key)
        _refuse(f"{path} {key}", curve)
        texts = [",".join(row.values()) for row in rows if row["dtype"] == key]
        found[key] = plain(curve, off, {"file": path.name, **digest(texts)})
    return {"gemm": found}


def _measured(where: str, key: str, row: Mapping[str, str]) -> float:
    """A size or a time. Raises ConfigError for what is no number that a machine can have measured."""
    try:
        found = float(row[key])
    except ValueError:
        found = 0.0
    if not LEAST <= found <= 1 / LEAST:
        raise ConfigError.of(f"{where} has {key}={short(row[key])}, which is no size or time", "write a number above 0")
    return found


def _refuse(where: str, curve: KernelCurve | LinkCurve) -> None:
    """Raises ConfigError for a fitted curve that no calibration file may hold."""
    if bad := list(problems(curve)):
        raise ConfigError.of(
            f"{where}: the curve of these times is none: {'; '.join(problem.what for problem in bad)}",
            "check the units (seconds, bytes, elements), and that a row is not far from all others",
        )


def transfers(path: Path, text: str, hardware: Hardware) -> dict[str, dict[str, Any]]:
    """One operation's curve from nccl-tests: lines of size, count, type, redop, root, time in us (out of place)."""
    told = f"{path.name}\n{text}".lower()
    op = next((name for pattern, name in OPERATIONS if re.search(pattern, told)), None)
    ranks = len(re.findall(r"(?m)^#\s+Rank\s+\d+", text))
    lines = re.findall(r"(?m)^\s+(\d+)\s+\d+\s+\w+\s+\S+\s+-?\d+\s+([0-9]{1,18}(?:\.[0-9]*)?)\s", text)
    samples: list[dict[str, float | str]] = [
        {"bytes": float(size), "ranks": float(ranks), "seconds": float(time) * 1e-6, "source": path.name}
        for size, time in lines
        if links.SMALLEST <= float(size) <= 1 / LEAST and float(time) * 1e-6 >= LEAST
    ]
    if op is None or ranks < 2 or len(samples) < FEWEST:
        raise ConfigError.of(
            f"{path}: {op or 'no operation'}, {ranks} ranks and {len(samples)} sizes of 64 KiB or more found",
            "give the whole output of one nccl-tests program, its operation in the file's name",
        )
    with np.errstate(all="ignore"):
        curve, error = links.fit(samples, ALGORITHMS[op].passes, hardware.nvlink.bandwidth)
    _refuse(f"{path} {op}", curve)
    texts = [f"{size} {time}" for size, time in lines]
    return {"links": {op: plain(curve, error, {"file": path.name, **digest(texts)})}}
