"""Serving as clients see it: what is asked of a worker, and the times that continuous batching makes of it.

As with training, the work does not depend on the engine's constants; arrays of any shape, one entry a plan.
"""

from __future__ import annotations

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration
from compiler.costs.constants import CHUNK, COHORT
from compiler.costs.forward_pass import Pass, decode_seconds, fill_seconds, one_pass
from compiler.costs.room import admitted
from compiler.costs.shape import Shape
from compiler.costs.software import Engine
from compiler.costs.work.forward import drafting, found_tokens, one_token, prompt_pass
from compiler.frozen import dataclass
from compiler.specs.workload import Workload


@dataclass(frozen=True)
class Prompts:
    """Filling the cache: one prompt on each attention-DP rank alone, in `steps` chunks; and `grouped` prompts on each in one
    go, as many as a chunk has room for. `ranks`: of attention DP.
    """

    alone: Pass
    group: Pass
    grouped: Array
    steps: Array
    ranks: Array


@dataclass(frozen=True, kw_only=True)
class Load:
    """Clients of a worker. `batch` requests are in flight on each attention-DP rank, answered by `output_tokens`; `running` those that its
    memory holds at a time. `ranks`: of attention DP, that fill. Where other workers fill (`apart` is 1), `fillers` of their ranks do so
    for one that decodes. An engine looks for requests once in `interval` decode steps. A token takes `drafted` of a step's time,
    less than all of it where steps check drafts.
    """

    ranks: Array
    batch: Array
    output_tokens: Array
    running: Array
    apart: Array
    fillers: Array
    interval: Array
    drafted: Array


@dataclass(frozen=True, kw_only=True)
class Demand(Load):
    """What is asked of a worker: the work of a decode step, of a prompt alone, and of `grouped` prompts at once, in `steps` chunks."""

    decode: Pass
    prompt: Pass
    group: Pass
    grouped: Array
    steps: Array
    prompt_tokens: Array


def prompts(plan: Shape, gpu: GpuCalibration, waiting: Array | float) -> Prompts:
    """Of a worker where `waiting` requests at most, of the shape of degrees, are in flight on each attention-DP rank."""
    case, length = plan.case, plan.case.workload.longest

    def in_one(count: Array) -> Pass:
        these = plan.at(global_batch_size=count * case.adp, micro_batch_size=count)
        return one_pass(these, gpu, prompt_pass(these.case, length))

    count = at_once(case.workload, waiting)
    alone = in_one(array(1))
    group = in_one(count) if (count > 1).any() else alone
    steps = np.ceil(array(length - found_tokens(case.workload, length)) / chunk(case.workload))
    return Prompts(alone, group, case.of_a_plan(count), steps, case.of_a_plan(case.adp))


def chunk(workload: Workload) -> int:
    """Tokens of a pass of prompts, at most."""
    return workload.prefill_chunk or CHUNK


def at_once(workload: Workload, waiting: Array | float) -> Array:
    """Prompts that are filled in one go where `waiting` ask."""
    computed = workload.longest - found_tokens(workload, workload.longest)
    return array(np.maximum(1, np.minimum(chunk(workload) // computed, np.round(waiting))))


def demand(
    plan: Shape,
    gpu: GpuCalibration,
    *,
    batch: float | None = None,
    fill: Prompts | None = None,
    fillers: float = 0.0,
) -> Demand:
    """The steady state of the plan's batch, or of `batch` requests a rank (inf: all that fit): contexts are half way."""
    case, workload = plan.case, plan.case.workload
    prompt, output = workload.longest, workload.output_length
    asked = workload.global_batch_size / case.adp if batch is None else array(batch)
    running = np.maximum(np.minimum(asked, admitted(case, plan.held)), 1.0)
    full = plan.at(global_batch_size=np.round(running * case.adp))
    first = fill or prompts(plan, gpu, running)
    return Demand(
        decode=one_pass(full, gpu, one_token(full.case, prompt + output / 2)),
        prompt=first.alone,
        group=first.group,
        grouped=first.grouped,
        steps=first.steps,
        ranks=first.ranks,
        batch=case.of_a_plan(asked),
        prompt_tokens=array(prompt),
        output_tokens=array(output),
        running=case.of_a_plan(running),
        apart=array(fill is not None),
        fillers=array(fillers),
        interval=array(case.interval),
        drafted=array(drafting(case)),
    )


@dataclass(frozen=True)
class Served:
    """Seconds to the first token and for each further one, how many requests of an attention-DP rank really run, and the
    seconds of one of many prompts, where all ranks have some.
    """

    ttft_s: Array
    tpot_s: Array
    running: Array
    prompt_s: Array


@dataclass(frozen=True)
class Filled:
    """Seconds of a prompt alone, of each of those that are filled together, and the same where ranks do not wait for each other."""

    alone: Array
    each: Array
    busy: Array


def filled(first: Prompts, by: Engine) -> Filled:
    meet = first.ranks**by.uneven
    return Filled(
        alone=fill_seconds(first.alone, by, first.steps, meet),
        each=fill_seconds(first.group, by, first.steps, meet) / first.grouped,
        busy=fill_seconds(first.group, by, first.steps) / first.grouped,
    )


def serve(load: Demand, by: Engine) -> Served:
    """Continuous batching of a closed loop of clients: each asks again when it has its answer."""
    first = Prompts(load.prompt, load.group, load.grouped, load.steps, load.ranks)
    return answered(load, filled(first, by), decode_seconds(load.decode, load.running, by), by)


def answered(load: Load, fill: Filled, decode: Array, by: Engine) -> Served:
    """The same by the seconds of prompts and of a decode step.

    The prompts of a rank are filled one behind the other, those of attention-DP ranks side by side as far as they meet.
    Requests beyond what memory holds wait for one that ends. Any waits some decode steps until it is noticed, even where
    another worker has filled its cache, which then hands it over.
    """
    running, together = load.running, 1 - load.apart
    lanes = np.where(load.apart > 0, np.maximum(load.fillers, 1e-9), 1.0)
    turn = fill.each / lanes
    others = np.maximum(running - 1, 0) * turn
    tpot = load.drafted * decode + together * by.mixed * others / load.output_tokens
    life = load.output_tokens * tpot
    queue = closed_loop(turn, running, life) - turn
    share = -np.expm1(-by.queue - by.cohort / (1 + np.maximum(running - 1, 0) / COHORT))
    queue = queue + share * np.maximum(others - queue, 0)  # never more than all the others' prompts
    full = np.where(np.isfinite(load.batch), np.maximum(load.batch / running - 1, 0), 0.0) * life
    looked = by.poll + (load.interval - 1) / 2
    noticed = (looked + together * by.gather * (load.ranks > 1)) * decode
    ttft = by.first_s + fill.alone + noticed + queue + full + load.apart * by.handoff_s
    return Served(ttft, tpot, running, fill.busy)


def closed_loop(service: Array, clients: Array, away: Array) -> Array:
    """Seconds that a client spends at one server of `service` seconds that it comes back to `away` seconds after.

    Mean value analysis with Schweitzer's approximation, R = S (1 + (N - 1) R / (R + Z)): S without others, never above N S.
    """
    half = (service * clients - away) / 2
    return np.asarray(half + np.sqrt(half**2 + service * away))
