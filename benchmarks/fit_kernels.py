"""Fit `conf/calibration/kernels/<gpu>.yaml` from kernels/ and op_moe.csv, and say how far curves are from what they have not seen.

python -m benchmarks.fit_kernels --rows FOLDER
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.rows import kernels
from benchmarks.rows.kernel_operations import OPERATIONS
from compiler.costs.calibration import Measured
from compiler.speed.fit import grids
from compiler.speed.fit.written import figures

OUT = Path("conf/calibration/kernels")
FEWEST = 25
"""Calls that make a curve."""

SLOWEST_S = 2e-5
"""Longest launch of a product: what takes longer was timed with the host's part of it, which a captured graph does not have."""

HEAD = "# Fitted by benchmarks/fit_kernels.py. Of each engine's kernels: a roofline, and hundredths of the logarithm of what it misses.\n"


def written(curve: Measured, left_out: float, count: int) -> dict[str, Any]:
    """A curve as it stands in a file: its grid as two lines of numbers."""
    numbers = {key: figures(value) for key, value in vars(curve.curve).items()}
    axes = "; ".join(" ".join(f"{knot:g}" for knot in axis) for axis in curve.grid.axes)
    shape = " ".join(f"{value:g}" for value in curve.grid.shape)
    return {**numbers, "left_out_error": round(left_out, 3), "calls": count, "axes": axes, "shape": shape}


def curves(folder: Path, sections: Sequence[str]) -> Iterator[tuple[tuple[str, str, str, str], dict[str, Any]]]:
    for key, calls, axes in kernels.measured(folder, sections):
        if len(calls.seconds) < FEWEST:
            continue
        seen, out = kernels.apart(calls)
        whole = grids.fit(calls, axes)
        if key[2] == "gemm" and whole.launch_s > SLOWEST_S:
            continue
        error = grids.error(calls.take(out), grids.fit(calls.take(seen), axes))
        yield key, written(whole, error, len(calls.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("sections", nargs="*", default=list(OPERATIONS))
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for path in OUT.glob("*.yaml"):
        kept = yaml.safe_load(path.read_text())
        found[path.stem] = {
            engine: {name: curves for name, curves in sections.items() if name not in args.sections}
            for engine, sections in kept.items()
        }
    errors = defaultdict(list)
    for (gpu, engine, section, name), curve in curves(args.rows, args.sections):
        found[gpu].setdefault(engine, {}).setdefault(section, {})[name] = curve
        errors[section, name].append(curve["left_out_error"])
    OUT.mkdir(exist_ok=True)
    for gpu, engines in sorted(found.items()):
        (OUT / f"{gpu}.yaml").write_text(HEAD + yaml.safe_dump(engines, sort_keys=False, width=10**6))
    for (section, name), values in errors.items():
        print(
            f"{section:<10}{name:<12}{len(values):>4} curves, median left out {100 * np.median(values):5.1f} %, worst {100 * max(values):5.1f} %"
        )


if __name__ == "__main__":
    main()
