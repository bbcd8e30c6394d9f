"""Prompts and answers on the same ranks, under a batch of clients that each ask again when they are answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.constants import DECODE_KEPT, PREFILL_KEPT
from compiler.costs.engine import Demand, Served, demand, serve
from compiler.costs.serve import Decode, Prefill
from compiler.costs.shape import Shape
from compiler.costs.software import Engine
from compiler.costs.uncertainty import Uncertainty
from compiler.frozen import dataclass
from compiler.specs.workload import Workload


@dataclass(frozen=True)
class Aggregated:
    """`batch` clients of an instance, of whose requests `running` are in its memory at a time. TPOT is with the prompts of
    others in between, TTFT with the wait for a place; None where two batches take turns. `prompts_per_s`: what those who fill could do
    without a rest, as many prompts in a pass as a chunk has room for.
    """

    sequence_length: int
    output_length: int
    batch: int
    running: int
    ttft_s: float | None
    tpot_s: float
    requests_per_s: float
    output_tokens_per_s_per_gpu: float
    prompts_per_s: float | None = None
    ttft_low_s: float | None = None
    ttft_high_s: float | None = None
    tpot_low_s: float | None = None
    tpot_high_s: float | None = None


def rows(plan: Shape, prefill: Sequence[Prefill], decode: Sequence[Decode], by: Calibration) -> Iterator[Aggregated]:
    """At each length of prompts. Engines were measured without batches in halves."""
    workload = plan.case.workload
    halves = by_halves(workload)
    return rough(prefill, decode, int(plan.case.ranks), workload) if halves else served(plan, by)


def rough(prefill: Sequence[Prefill], decode: Sequence[Decode], gpus: int, workload: Workload) -> Iterator[Aggregated]:
    """By the two phases' own times: in the time of an answer every other request's prompt is filled once, and the answers
    wait. Nothing where a plan has one phase alone, or a phase has no time.
    """
    clients, output_length = workload.global_batch_size, workload.output_length
    for fill, step in zip(prefill, decode, strict=False) if output_length else ():
        each = step.tpot_s + fill.ttft_s / output_length
        if each > 0:  # not where it is no number
            done = step.batch / (each * output_length)
            rate = done * output_length / gpus
            yield Aggregated(fill.sequence_length, output_length, clients, step.batch, None, each, done, rate)


def served(plan: Shape, by: Calibration) -> Iterator[Aggregated]:
    """By continuous batching with an engine's constants, at each length of prompts."""
    workload = plan.case.workload
    for length in lengths(workload):
        load = demand(plan.at(sequence_lengths=[length]), by.gpu)
        yield steady(load, by.engine, workload.global_batch_size, float(plan.case.adp), int(plan.case.ranks))


def lengths(workload: Workload) -> list[int]:
    """Those that have a time; what is out of range is refused elsewhere."""
    return [length for length in workload.sequence_lengths if length > 0 < workload.output_length]


def steady(load: Demand, by: Engine, clients: int, copies: float, gpus: int) -> Aggregated:
    """`engine.serve` for `clients` over `copies` attention-DP ranks that decode; all of `gpus` do the work."""
    found, output = serve(load, by), int(load.output_tokens)
    running = float(found.running) * copies
    done = float(answered(clients, found, output))
    return Aggregated(
        sequence_length=int(load.prompt_tokens),
        output_length=output,
        batch=clients,
        running=min(round(running), clients),
        ttft_s=float(found.ttft_s),
        tpot_s=float(found.tpot_s),
        requests_per_s=done,
        output_tokens_per_s_per_gpu=done * output / gpus,
        prompts_per_s=copies * (float(load.fillers) if load.apart else 1.0) / float(found.prompt_s),
    )


def answered(clients: Array | float, found: Served, output: int) -> Array:
    """Requests a second by Little's law: a client has one in flight, from its prompt to the last of `output` tokens."""
    return np.asarray(clients / (found.ttft_s + found.tpot_s * (output - 1)))


def seen(plan: Shape, let_in: Shape, ttft: Array, tpot: Array, by: Calibration) -> dict[str, Array]:
    """The same of many plans at the longest prompt: `seen_ttft_s`, `seen_tpot_s` and `requests_per_s` of an instance. `let_in`: with the
    requests that run at a time; `ttft` and `tpot`: the two phases' own times. Of a pool clients see nothing; its rate is less what uneven
    arrivals cost, as in `rates`.
    """
    case, output, none = plan.case, plan.case.workload.output_length, np.full_like(tpot, np.nan)
    batch = case.of_a_plan(array(let_in.case.workload.global_batch_size))
    if case.workload.role is not None:
        alone = (
            batch / ttft * PREFILL_KEPT if case.workload.role == "prefill" else batch / (tpot * output) * DECODE_KEPT
        )
        return {"seen_ttft_s": none, "seen_tpot_s": none, "requests_per_s": alone}
    if by_halves(case.workload):
        each = tpot + ttft / output
        return {
            "seen_ttft_s": none,
            "seen_tpot_s": each,
            "requests_per_s": batch / (each * output),
        }
    load = demand(plan.at(sequence_lengths=[case.workload.longest]), by.gpu)
    found = serve(load, by.engine)
    rate = answered(load.batch * case.of_a_plan(case.adp), found, output)
    return {"seen_ttft_s": found.ttft_s, "seen_tpot_s": found.tpot_s, "requests_per_s": rate}


def by_halves(workload: Workload) -> bool:
    """Whether a plan has one phase alone, or works on batches in halves."""
    return workload.role is not None or workload.two_batch_overlap


def sure(row: Aggregated, known: Uncertainty) -> Aggregated:
    """With the intervals that are known of both times."""
    first, each = known.around("ttft", row.ttft_s), known.around("tpot", row.tpot_s)
    return replace(row, ttft_low_s=first[0], ttft_high_s=first[1], tpot_low_s=each[0], tpot_high_s=each[1])
