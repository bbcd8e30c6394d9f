"""Curves of collectives by operation, fitted to measured times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.calibration import LinkCurve
from compiler.costs.constants import COLLECTIVE_LAUNCH_S
from compiler.speed.fit.least_squares import minimise

KNOTS = tuple(float(4**power) for power in range(8, 18))
"""64 KiB to 16 GiB."""

SMALLEST = 2.0**16
LONG = 2.0**26
"""Bytes of a message that are fitted to, and from which on its latency does not show."""

Sample = Mapping[str, float | str]


def fit(samples: Sequence[Sample], passes: int, bandwidth: float) -> tuple[LinkCurve, float]:
    """Samples of bytes, ranks, seconds and source, one operation in one domain; every source counts the same.

    Groups of one size do not tell a call's own latency from what each peer adds: that of NCCL is then taken for the former.
    Gives the curve, and its mean absolute relative error from 1 MiB on.
    """
    kept = [sample for sample in samples if float(sample["bytes"]) >= SMALLEST]
    size, ranks, seconds = (np.array([float(s[name]) for s in kept]) for name in ("bytes", "ranks", "seconds"))
    sources = [str(sample["source"]) for sample in kept]
    weight = np.array([1 / np.sqrt(sources.count(source)) for source in sources])
    weight *= np.sqrt(len(kept)) / np.linalg.norm(weight)
    wire = passes * (ranks - 1) / ranks * size
    large = bool((ranks >= 6).any())

    def curve(x: Array) -> LinkCurve:
        latency, hop, efficiency, loss, ramp, switched = (float(value) for value in np.exp(x[:6]))
        shape = tuple(float(value) for value in np.exp(x[6:]))
        return LinkCurve(latency, hop, efficiency, loss, ramp, switched, sizes=KNOTS, shape=shape)

    told = len(set(ranks[size < LONG])) > 1
    first = np.concatenate(
        [np.log([1e-5 if told else COLLECTIVE_LAUNCH_S, 1e-6, 0.8, 0.1, 1e-5, 1.0]), np.zeros(len(KNOTS))]
    )
    gain = 0.5 if passes == 2 and large else 1e-3
    spread = np.concatenate([[2 if told else 0.1, 2, 1, 2, 2, gain], np.full(len(KNOTS), 0.3)])
    spread = spread * np.sqrt(40 / len(kept))
    x = minimise(lambda x: weight * np.log(curve(x).seconds(size, wire, ranks, bandwidth) / seconds), first, 2 * spread)
    best = curve(x)
    off = np.abs(best.seconds(size, wire, ranks, bandwidth) / seconds - 1)[size >= 2**20]
    return best, float(off.mean()) if len(off) else float("nan")
