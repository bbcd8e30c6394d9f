"""Where the seconds of a prefill and of a decode step go: parts that add up to TTFT and TPOT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs.arrays import settled
from compiler.costs.case import Case
from compiler.costs.exposed import Reaches
from compiler.costs.forward import busy_stages, chunked, drafting, one_token, whole_sequences
from compiler.costs.params import Counts
from compiler.costs.room import fitting
from compiler.costs.stage_time import by_stage

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration


@dataclass(frozen=True)
class Detail:
    """Seconds by part, which add up to TTFT or TPOT; and the sequences of this length, prompt and answer together, that the
    memory of all ranks of an instance has room for.
    """

    parts: Mapping[str, float]
    largest_batch: int


def prefill(case: Case, held: Counts, reaches: Reaches, length: int, measured: Calibration | None = None) -> Detail:
    """All stages once, and the slowest once more for each further micro-batch: that is `pipeline_s`."""
    forward, chunks = chunked(case, whole_sequences(case, "prefill", length), length)
    parts = by_stage(case, held, reaches, forward, measured)
    found = {name: float(values.sum()) for name, values in parts.items()}
    total = sum(parts.values(), 0 * case.running.layers)
    found["pipeline_s"] = float(np.maximum(case.micro_batches * chunks - 1, 0) * total.max())
    found["first_s"] = measured.engine.first_s if measured else 0.0
    return Detail(settled(found), largest_batch(case, held, length))


def decode(case: Case, held: Counts, reaches: Reaches, context: int, measured: Calibration | None = None) -> Detail:
    """All stages once; `pipeline_s` is what a group of sequences waits for the ones before it on the slowest stage."""
    each = by_stage(case, held, reaches, one_token(case, context), measured)
    parts = {name: drafting(case) * values for name, values in each.items()}
    found = {name: float(values.sum()) for name, values in parts.items()}
    total = sum(parts.values(), 0 * case.running.layers)
    found["pipeline_s"] = max(0.0, float(busy_stages(case) * total.max() - total.sum()))
    return Detail(settled(found), largest_batch(case, held, context))


def largest_batch(case: Case, held: Counts, length: float) -> int:
    """Sequences of an instance that its KV cache has room for at a time."""
    room = fitting(case, held, length) * case.adp
    return int(room) if np.isfinite(room) else 0
