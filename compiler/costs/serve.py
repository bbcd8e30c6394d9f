"""Serving: the time to first token of a whole batch of prompts, the time of each further token, and the parts of both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import Array, array, settled
from compiler.costs.calibration import Calibration
from compiler.costs.comm.timed import Row, row, timed
from compiler.costs.room import fitting
from compiler.costs.shape import Shape
from compiler.costs.stage_time import stage_seconds
from compiler.costs.work import traffic
from compiler.costs.work.forward import busy_stages, chunked, drafting, one_token, prompt_pass
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Prefill:
    """All prompts of the batch have this length; TTFT is that of the last of them. `parts` add up to it; `largest_batch`: sequences
    of this length, prompt and answer together, that the memory of all ranks of an instance has room for. Tokens that are found in the
    cache count in `tokens_per_s_per_gpu`.
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


def prompts_seconds(plan: Shape, length: int, by: Calibration) -> tuple[Array, dict[str, Array]]:
    """TTFT, shape [] or [plans], and its parts by stage: a rank's micro-batches of prompts, or chunks of them, go through the stages one
    behind the other. All stages once, and the slowest once more for each further micro-batch: that is `pipeline_s`.
    """
    case = plan.case
    forward, chunks = chunked(case, prompt_pass(case, length), length)
    seconds, parts = stage_seconds(plan, forward, by)
    further = case.of_a_plan(case.micro_batches) * chunks - 1
    ttft = by.engine.first_s + seconds.sum(axis=-1) + further * seconds.max(axis=-1)
    slowest = sum(parts.values(), 0 * case.running.layers).max(axis=-1)
    return np.asarray(ttft), {
        **parts,
        "pipeline_s": np.maximum(further, 0) * slowest,
        "first_s": array(by.engine.first_s),
    }


def token_seconds(plan: Shape, context: int, by: Calibration) -> tuple[Array, dict[str, Array]]:
    """TPOT and its parts: each group of a rank's sequences goes through the stages in turn, and waits where another one is on the
    next, which is `pipeline_s`.
    """
    case = plan.case
    seconds, parts = stage_seconds(plan, one_token(case, context), by)
    seconds, parts = drafting(case) * seconds, {name: drafting(case) * values for name, values in parts.items()}
    busy, total = case.of_a_plan(busy_stages(case)), sum(parts.values(), 0 * case.running.layers)
    waits = np.maximum(busy * total.max(axis=-1) - total.sum(axis=-1), 0.0)
    tpot = np.maximum(seconds.sum(axis=-1), busy * seconds.max(axis=-1))
    return np.asarray(tpot), {**parts, "pipeline_s": waits}


def prefill(plan: Shape, length: int, by: Calibration) -> Prefill:
    """Of one plan."""
    found, parts = prompts_seconds(plan, length, by)
    rate = float(plan.case.workload.global_batch_size * length / (found * plan.case.ranks))
    return Prefill(length, float(found), rate, None, None, _summed(parts), largest_batch(plan, length))


def decode(plan: Shape, context: int, by: Calibration) -> Decode:
    """Of one plan."""
    case, (found, parts) = plan.case, token_seconds(plan, context, by)
    busy, batch = int(busy_stages(case)), case.workload.global_batch_size
    rate = float(batch / (found * case.ranks))
    return Decode(context, batch, float(found), rate, busy, None, None, _summed(parts), largest_batch(plan, context))


def _summed(parts: Mapping[str, Array]) -> dict[str, float]:
    """Parts over all stages."""
    return settled({name: float(values.sum()) for name, values in parts.items()})


def largest_batch(plan: Shape, length: float) -> int:
    """Sequences of an instance that its KV cache has room for at a time."""
    room = fitting(plan.case, plan.held, length) * plan.case.adp
    return int(room) if np.isfinite(room) else 0


def rows(plan: Shape, by: Calibration) -> list[Row]:
    """The collectives of one forward pass of one micro-batch: the longest prefill, and one decode step at that context."""
    case = plan.case
    both = (prompt_pass(case, case.workload.longest), one_token(case, case.workload.longest))
    return [
        row(item, forward.phase, 1.0)
        for forward in both
        if case.workload.role in (None, forward.phase)
        for item in timed(traffic.passing(case, forward), plan, by.gpu)
    ]
