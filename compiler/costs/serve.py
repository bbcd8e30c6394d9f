"""Serving: the time to first token of a whole batch of prompts, and the time of each further token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import traffic
from compiler.costs.case import Array, Case
from compiler.costs.exposed import Reaches, Row, pass_seconds, row, timed
from compiler.costs.forward import Forward, busy_stages, one_token, whole_sequences
from compiler.costs.kernels import forward_seconds
from compiler.costs.params import Counts

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration


@dataclass(frozen=True)
class Prefill:
    """All prompts of the batch have this length; TTFT is that of the last of them."""

    sequence_length: int
    ttft_s: float
    tokens_per_s_per_gpu: float
    ttft_low_s: float | None = None
    ttft_high_s: float | None = None


@dataclass(frozen=True)
class Decode:
    """All sequences of the batch have this context; `busy_stages` of the pipeline work at a time."""

    context_length: int
    batch: int
    tpot_s: float
    tokens_per_s_per_gpu: float
    busy_stages: int
    tpot_low_s: float | None = None
    tpot_high_s: float | None = None


def prefill(
    case: Case, held: Counts, reaches: Reaches, gpus: int, length: int, measured: Calibration | None = None
) -> Prefill:
    """A rank's micro-batches of prompts go through the stages one behind the other."""
    seconds = _stage_seconds(case, held, reaches, whole_sequences(case, "prefill", length), measured)
    first = measured.engine.first_s if measured else 0.0
    ttft = first + seconds.sum(axis=-1) + (case.micro_batches - 1) * seconds.max(axis=-1)
    tokens = case.workload.global_batch_size * length
    around = measured.interval("ttft", float(ttft)) if measured else (None, None)
    return Prefill(length, float(ttft), float(tokens / (ttft * gpus)), *around)


def decode(
    case: Case, held: Counts, reaches: Reaches, gpus: int, context: int, measured: Calibration | None = None
) -> Decode:
    """Each group of a rank's sequences goes through the stages in turn, and waits where another one is on the next."""
    seconds = _stage_seconds(case, held, reaches, one_token(case, context), measured)
    busy, batch = busy_stages(case), case.workload.global_batch_size
    tpot = np.maximum(seconds.sum(axis=-1), busy * seconds.max(axis=-1))
    around = measured.interval("tpot", float(tpot)) if measured else (None, None)
    return Decode(context, batch, float(tpot), float(batch / (tpot * gpus)), int(busy), *around)


def rows(case: Case, reaches: Reaches) -> list[Row]:
    """The collectives of one forward pass of one micro-batch: the longest prefill, and one decode step at that context."""
    both = (whole_sequences(case, "prefill", case.workload.longest), one_token(case, case.workload.longest))
    passes = (forward for forward in both if case.workload.role in (None, forward.phase))
    return [
        row(item, forward.phase, 1.0)
        for forward in passes
        for item in timed(traffic.passing(case, forward), reaches, case.hardware)
    ]


def _stage_seconds(case: Case, held: Counts, reaches: Reaches, forward: Forward, measured: Calibration | None) -> Array:
    """Seconds of a micro-batch on each stage, with the collectives that show."""
    if measured is not None:
        from compiler.costs.forward_pass import decode_seconds, fill_seconds, stage_pass

        work = stage_pass(case, held, reaches, measured.gpu, forward)
        if forward.phase == "decode":
            return decode_seconds(work, forward.sequences, measured.engine, share=1 / case.pp)
        return fill_seconds(work, measured.engine)
    compute = forward_seconds(case, held, forward)
    flows = timed(traffic.passing(case, forward), reaches, case.hardware)
    return compute.total + pass_seconds(flows, compute.total, compute.core, backward=False)
