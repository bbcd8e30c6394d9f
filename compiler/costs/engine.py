"""Serving by measured curves: the work of a decode step and of one prompt, and what an engine makes of it.

As with training, the work does not depend on the engine's constants; arrays of any shape, one entry a plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from compiler.costs import traffic
from compiler.costs.calibration import GpuCalibration
from compiler.costs.case import Array, Case, array
from compiler.costs.constants import OTHER_BYTES
from compiler.costs.exposed import Reaches, timed
from compiler.costs.forward import Forward, one_token, whole_sequences
from compiler.costs.memory import kv_cache, weights
from compiler.costs.params import Counts
from compiler.costs.parts import parts
from compiler.costs.software import Engine

USABLE = 0.9
"""Part of the free memory that engines give to the cache (their defaults)."""

MOST = 2048.0
"""Requests that an attention-DP rank runs at a time, whatever its memory (TensorRT-LLM's default)."""


@dataclass(frozen=True)
class Pass:
    """A forward pass through all stages: seconds at the curves' own speed; `launches` and `experts` are counts."""

    products: Array
    grouped: Array
    core: Array
    elementwise: Array
    launches: Array
    experts: Array
    tp: Array
    ep: Array
    pp: Array


@dataclass(frozen=True)
class Demand:
    """What is asked of a worker. `batch` requests are in flight on each attention-DP rank, of `prompt` and `output` tokens;
    `running` those that its memory holds at a time. Where other workers fill (`apart` is 1),
    `fillers` of their ranks do so for one that decodes. `ranks`: of attention DP.
    """

    decode: Pass
    prompt: Pass
    batch: Array
    prompt_tokens: Array
    output_tokens: Array
    running: Array
    apart: Array
    fillers: Array
    ranks: Array


def one_pass(case: Case, held: Counts, reaches: Reaches, gpu: GpuCalibration, forward: Forward) -> Pass:
    """Summed over stages."""
    each = stage_pass(case, held, reaches, gpu, forward)
    return Pass(**{name: np.asarray(np.sum(value, axis=-1)) for name, value in vars(each).items()})


def stage_pass(case: Case, held: Counts, reaches: Reaches, gpu: GpuCalibration, forward: Forward) -> Pass:
    """Arrays over stages."""
    kernels = parts(case, held, forward, gpu)
    flows = timed(traffic.passing(case, forward), reaches, case.hardware, gpu)
    none = 0 * case.running.layers

    def spent(*kinds: str) -> Array:
        found = sum((item.flow.forward * item.call_s for item in flows if item.flow.kind in kinds), none)
        return np.asarray(found + none)

    return Pass(
        products=kernels.products + none,
        grouped=kernels.grouped + none,
        core=kernels.core + none,
        elementwise=kernels.elementwise + none,
        launches=kernels.launches + none,
        experts=case.running.moe + none,
        tp=spent("tp", "cp"),
        ep=spent("ep", "etp"),
        pp=spent("pp"),
    )


def demand(
    case: Case,
    held: Counts,
    reaches: Reaches,
    gpu: GpuCalibration,
    *,
    batch: float | None = None,
    fill: Pass | None = None,
    fillers: float = 0.0,
) -> Demand:
    """The steady state of the case's batch, or of `batch` requests a rank (inf: all that fit): contexts are half way."""
    prompt, output = case.workload.longest, case.workload.output_length
    alone = replace(case, workload=replace(case.workload, global_batch_size=int(np.max(case.adp))))
    each = kv_cache(alone).max(axis=-1) * (prompt + output / 2) / (prompt + output)
    free = case.hardware.gpu.memory_bytes - weights(case, held).max(axis=-1) - OTHER_BYTES["serve"]
    room = np.minimum(np.maximum(USABLE * free / each, 1.0), MOST)
    asked = case.workload.global_batch_size / case.adp if batch is None else array(batch)
    running = np.maximum(np.minimum(asked, room), 1.0)
    full = replace(case, workload=replace(case.workload, global_batch_size=round(float(np.max(running * case.adp)))))
    decode = one_pass(full, held, reaches, gpu, one_token(full, prompt + output / 2))
    filled = fill or one_pass(alone, held, reaches, gpu, whole_sequences(alone, "prefill", prompt))
    return Demand(
        decode=decode,
        prompt=filled,
        batch=asked,
        prompt_tokens=array(prompt),
        output_tokens=array(output),
        running=running,
        apart=array(fill is not None),
        fillers=array(fillers),
        ranks=case.adp + array(0),
    )


def decode_seconds(work: Pass, batch: Array, by: Engine, share: Array | float = 1.0) -> Array:
    """One decode step, or a stage's part of it: `share` of what every step takes anyway."""
    kernels = by.d_products * work.products + by.d_grouped * work.grouped + by.d_core * work.core
    kernels = kernels + by.d_elementwise * work.elementwise
    host = by.d_kernel_s * work.launches + by.d_expert_s * work.experts
    host = host + share * (by.d_step_s + by.d_request_s * batch)
    return np.asarray(kernels + host + by.d_tp * work.tp + by.d_ep * work.ep + work.pp)


def prompt_seconds(work: Pass, by: Engine) -> Array:
    """One prompt on every attention-DP rank, beyond what a step takes anyway."""
    kernels = by.p_products * work.products + by.p_grouped * work.grouped + by.p_core * work.core
    return np.asarray(kernels + by.p_elementwise * work.elementwise + by.p_tp * work.tp + by.p_ep * work.ep + work.pp)


@dataclass(frozen=True)
class Served:
    """Seconds to the first token and for each further one, how many requests of an attention-DP rank really run, and the
    seconds of one prompt.
    """

    ttft_s: Array
    tpot_s: Array
    running: Array
    prompt_s: Array


def serve(load: Demand, by: Engine) -> Served:
    """Continuous batching: in the time of a request's output every other request's prompt is filled once.

    Requests beyond what memory holds wait for one that ends.
    """
    running = load.running
    decode = decode_seconds(load.decode, running, by)
    prompt = prompt_seconds(load.prompt, by)
    together = 1 - load.apart
    tpot = decode + together * by.mixed * running * (prompt + by.p_step_s) / load.output_tokens
    life = load.output_tokens * tpot
    ahead = np.maximum(running - 1, 0)
    lanes = np.where(load.apart > 0, np.maximum(load.fillers, 1e-9), 1.0)
    longest = prompt * (1 + by.uneven * (load.ranks - 1))
    others = ahead * longest / lanes
    waits = by.queue * np.maximum(others / (life + others), 1e-9) ** by.crowd
    queue = others * waits / (1 + waits)  # never more than all the others' prompts
    full = np.where(np.isfinite(load.batch), np.maximum(load.batch / running - 1, 0), 0.0) * life
    ttft = by.first_s + by.p_step_s + longest + together * decode / 2 + queue + full
    return Served(ttft, tpot, running, prompt + by.p_step_s)
