"""What is predicted of a measured row, beside it; and the errors of many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import fits, intervals
from benchmarks.predict import predict
from benchmarks.rows.record import Record


@dataclass(frozen=True)
class Judged:
    """A record and its prediction, with the interval that a plan prints; nan where it is skipped."""

    record: Record
    predicted: float
    low: float = float("nan")
    high: float = float("nan")

    @property
    def inside(self) -> bool:
        """Whether the measurement is within the interval."""
        return self.low <= self.record.measured <= self.high

    @property
    def error(self) -> float:
        """Signed, as a fraction of what was measured."""
        return self.predicted / self.record.measured - 1


def judge(records: Sequence[Record]) -> list[Judged]:
    """Predict each; one without a finite prediction counts as skipped."""
    return [printed(record, value) for record, value in zip(records, predict(records), strict=True)]


def printed(record: Record, value: float, out: str = "") -> Judged:
    """With its interval, as of a plan that is as far from what was measured as what was left `out`."""
    return Judged(record, value, *intervals.around(record, value, out))


def reason(judged: Judged) -> str:
    """Why a record is skipped; empty where it is not."""
    if judged.record.skipped:
        return judged.record.skipped
    if not usable(judged):
        return "faster than memory is read" if fits.impossible(judged.record) else "no finite prediction"
    return f"no {judged.record.unsaid}" if judged.record.unsaid else ""


def usable(judged: Judged) -> bool:
    return bool(np.isfinite(judged.predicted) and judged.predicted > 0 and judged.record.measured > 0)


def by(judged: Iterable[Judged], key: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        groups[key(item)].append(item)
    return dict(groups)


def source(judged: Judged) -> str:
    return judged.record.source


def family_error(judged: Sequence[Judged]) -> float:
    """Mean over sources of each one's mean absolute percentage error."""
    return float(np.mean([np.mean([abs(x.error) for x in group]) for group in by(judged, source).values()]))
