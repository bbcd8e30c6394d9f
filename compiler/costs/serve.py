"""Serving: the time to first token of a whole batch of prompts, the time of each further token, and the parts of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from compiler.costs import traffic
from compiler.costs.arrays import Array, settled
from compiler.costs.calibration import Calibration
from compiler.costs.exposed import Row, row, timed
from compiler.costs.forward import busy_stages, chunked, drafting, one_token, whole_sequences
from compiler.costs.room import fitting
from compiler.costs.shape import Shape
from compiler.costs.stage_time import by_stage, stage_seconds


@dataclass(frozen=True)
class Prefill:
    """All prompts of the batch have this length; TTFT is that of the last of them. `parts` add up to it; `largest_batch`: sequences
    of this length, prompt and answer together, that the memory of all ranks of an instance has room for.
    """

    sequence_length: int
    ttft_s: float
    tokens_per_s_per_gpu: float
    ttft_low_s: float | None
    ttft_high_s: float | None
    parts: Mapping[str, float]
    largest_batch: int


@dataclass(frozen=True)
class Decode:
    """All sequences of the batch have this context; `busy_stages` of the pipeline work at a time. The rest as of prefill."""

    context_length: int
    batch: int
    tpot_s: float
    tokens_per_s_per_gpu: float
    busy_stages: int
    tpot_low_s: float | None
    tpot_high_s: float | None
    parts: Mapping[str, float]
    largest_batch: int


def prompts_seconds(plan: Shape, length: int, by: Calibration) -> Array:
    """TTFT: a rank's micro-batches of prompts, or chunks of them, go through the stages one behind the other. Shape [] or [plans]."""
    forward, chunks = chunked(plan.case, whole_sequences(plan.case, "prefill", length), length)
    seconds, count = stage_seconds(plan, forward, by), plan.case.of_a_plan(plan.case.micro_batches) * chunks
    return np.asarray(by.engine.first_s + seconds.sum(axis=-1) + (count - 1) * seconds.max(axis=-1))


def token_seconds(plan: Shape, context: int, by: Calibration) -> Array:
    """TPOT: each group of a rank's sequences goes through the stages in turn, and waits where another one is on the next."""
    seconds = drafting(plan.case) * stage_seconds(plan, one_token(plan.case, context), by)
    busy = plan.case.of_a_plan(busy_stages(plan.case))
    return np.asarray(np.maximum(seconds.sum(axis=-1), busy * seconds.max(axis=-1)))


def prefill(plan: Shape, length: int, by: Calibration) -> Prefill:
    """Of one plan. All stages once, and the slowest once more for each further micro-batch: that is `pipeline_s`."""
    case, ttft = plan.case, float(prompts_seconds(plan, length, by))
    forward, chunks = chunked(case, whole_sequences(case, "prefill", length), length)
    parts = by_stage(plan, forward, by)
    found = {name: float(values.sum()) for name, values in parts.items()}
    total = sum(parts.values(), 0 * case.running.layers)
    found["pipeline_s"] = float(np.maximum(case.micro_batches * chunks - 1, 0) * total.max())
    found["first_s"] = by.engine.first_s
    rate = float(case.workload.global_batch_size * length / (np.float64(ttft) * case.ranks))
    return Prefill(length, ttft, rate, None, None, settled(found), largest_batch(plan, length))


def decode(plan: Shape, context: int, by: Calibration) -> Decode:
    """Of one plan. All stages once; `pipeline_s` is what a group of sequences waits for those before it on the slowest stage."""
    case, tpot = plan.case, float(token_seconds(plan, context, by))
    parts = {name: drafting(case) * values for name, values in by_stage(plan, one_token(case, context), by).items()}
    found = {name: float(values.sum()) for name, values in parts.items()}
    total = sum(parts.values(), 0 * case.running.layers)
    busy, batch = int(busy_stages(case)), case.workload.global_batch_size
    found["pipeline_s"] = max(0.0, float(busy * total.max() - total.sum()))
    rate = float(batch / (np.float64(tpot) * case.ranks))
    return Decode(context, batch, tpot, rate, busy, None, None, settled(found), largest_batch(plan, context))


def largest_batch(plan: Shape, length: float) -> int:
    """Sequences of an instance that its KV cache has room for at a time."""
    room = fitting(plan.case, plan.held, length) * plan.case.adp
    return int(room) if np.isfinite(room) else 0


def rows(plan: Shape, by: Calibration) -> list[Row]:
    """The collectives of one forward pass of one micro-batch: the longest prefill, and one decode step at that context."""
    case = plan.case
    both = (whole_sequences(case, "prefill", case.workload.longest), one_token(case, case.workload.longest))
    return [
        row(item, forward.phase, 1.0)
        for forward in both
        if case.workload.role in (None, forward.phase)
        for item in timed(traffic.passing(case, forward), plan, by.gpu)
    ]
