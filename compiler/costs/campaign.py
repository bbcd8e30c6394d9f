"""A whole training run: how many days it takes at a step's speed, and what failures and checkpoints leave of them."""

from __future__ import annotations

import math

from compiler.costs.train import Train
from compiler.frozen import dataclass
from compiler.specs.workload import Workload

DAY_S, HOUR_S = 86400.0, 3600.0


@dataclass(frozen=True)
class Campaign:
    """`goodput` is the part of the time whose work is kept: checkpoints, restarts and lost steps are taken off.

    `days` and `gpu_hours` are those to `workload.tokens` with that goodput; None where nothing is said of tokens or failures.
    """

    tokens_per_day: float
    goodput: float | None = None
    checkpoint_interval_s: float | None = None
    failures_per_day: float | None = None
    days: float | None = None
    gpu_hours: float | None = None


def campaign(workload: Workload, step: Train, gpus: int) -> Campaign:
    """The run that a step of `gpus` GPUs is part of."""
    per_day = DAY_S * step.tokens_per_s
    kept, interval, failures = 1.0, None, None
    if workload.gpu_mtbf_s is not None:
        failing_s = workload.gpu_mtbf_s / gpus
        failures = DAY_S / failing_s
        interval = workload.checkpoint_interval_s or best_interval_s(workload.checkpoint_s, failing_s)
        interval = max(interval, step.step_time_s)
        kept = goodput(interval, workload.checkpoint_s, workload.restart_s, failing_s)
    days = workload.tokens / (per_day * kept) if workload.tokens and kept > 0 else None
    return Campaign(
        tokens_per_day=per_day,
        goodput=kept if failures is not None else None,
        checkpoint_interval_s=interval,
        failures_per_day=failures,
        days=days,
        gpu_hours=None if days is None else days * DAY_S / HOUR_S * gpus,
    )


def best_interval_s(checkpoint_s: float, failing_s: float) -> float:
    """Seconds of work between checkpoints that waste least: sqrt(2 * checkpoint * mean time between failures) (Young, 1974)."""
    return math.sqrt(2 * checkpoint_s * failing_s)


def goodput(interval_s: float, checkpoint_s: float, restart_s: float, failing_s: float) -> float:
    """Work that is kept over time that passes. Between failures `failing_s` of running go by, of which checkpoints take
    their part, and the last half interval (on average) is lost; then the restart (Daly, 2006, first order).
    """
    working = interval_s / (interval_s + checkpoint_s) if interval_s + checkpoint_s else 1.0
    return max(0.0, working * (failing_s - (interval_s + checkpoint_s) / 2) / (failing_s + restart_s))
