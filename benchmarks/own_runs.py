"""What three runs of a site's own are worth: each source left out of the fit, and three of its rows given back, a table.

    python -m benchmarks.own_runs --rows FOLDER [--draws N]

Errors are mean absolute percentages over the source's other rows, over draws of three; rows of a source are told apart by GPU,
framework and kind of model, as `python -m compiler.calibrate` does. `all`: the same with every other row given back, which is the best that
one factor can do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import accuracy, fits
from benchmarks.cross import PARTS, as_released
from benchmarks.features import known
from benchmarks.fits import Samples
from benchmarks.rows.record import Record
from compiler.costs.arrays import Array
from compiler.costs.own import believed
from compiler.speed.site import kind

GIVEN = 3
FEWEST = 2 * GIVEN


def residuals(samples: Samples) -> Iterator[tuple[str, Array]]:
    """Logarithms of measured over what is said by a fit without the source, source by source and group by group."""
    first = fits.fitted(samples)
    names = [PARTS["source"](record) for record in samples.records]
    for name in sorted(set(names)):
        out = [i for i, other in enumerate(names) if other == name]
        if len(out) < FEWEST or len(out) == len(names):
            continue
        constants = fits.fitted(samples.take(sorted({*range(len(names))} - {*out})), first)
        apart = samples.take(out)
        apart = replace(apart, keys=[as_released(keys, apart, constants) for keys in apart.keys])
        logs = np.log([record.measured for record in apart.records]) - np.log(fits.said(apart, constants))
        signs = [
            1.0 if record.metric == "step_time_s" else -1.0 for record in apart.records
        ]  # a rate is a time's inverse
        groups = [group(record) for record in apart.records]
        for each in sorted(set(groups)):
            own = [i for i, other in enumerate(groups) if other == each]
            if len(own) >= FEWEST:
                yield f"{name} {each}", logs[own] * np.array(signs)[own]


def group(record: Record) -> str:
    config = known(record).config
    return f"{config.hardware.name} {record.software[0]} {kind(config)}"


def off(logs: Array) -> float:
    return float(100 * np.mean(np.abs(np.exp(-logs) - 1)))


def given_back(logs: Array, draws: int) -> tuple[float, float]:
    """Errors of the other rows, with three given back and with all others."""
    random, three, rest = np.random.default_rng(0), list[float](), list[float]()
    for _ in range(draws):
        mine = random.permutation(len(logs))
        own, others = logs[mine[:GIVEN]], logs[mine[GIVEN:]]
        three.append(off(others - believed(float(own.mean()), GIVEN)))
    for at in range(len(logs)):
        others = np.delete(logs, at)
        rest.append(off(logs[at : at + 1] - believed(float(others.mean()), len(others))))
    return float(np.mean(three)), float(np.mean(rest))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=Path, required=True, help="the folder of measured rows")
    parser.add_argument("--draws", type=int, default=200, help="draws of three rows")
    args = parser.parse_args()
    records = accuracy.load(args.rows)
    print("| source, GPU, framework and kind | rows | left out, % | three rows given back | cut, % | all |")
    print("|---|---|---|---|---|---|")
    cuts = []
    for name, logs in residuals(fits.steps(records)):
        before, (after, best) = off(logs), given_back(logs, args.draws)
        cuts.append(1 - after / before)
        print(f"| {name} | {len(logs)} | {before:.1f} | {after:.1f} | {100 * cuts[-1]:.0f} | {best:.1f} |", flush=True)
    print(f"\nmean cut {100 * np.mean(cuts):.0f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
