"""A training step: every stage's forward and backward time, the pipeline around them, gradients and the optimizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import bubble, flops, pipeline, states, traffic, trained
from compiler.costs.arrays import Array, settled
from compiler.costs.case import Case
from compiler.costs.constants import BACKWARD_RATIO
from compiler.costs.exposed import Reaches, Row, Timed, pass_seconds, row, timed
from compiler.costs.forward import whole_sequences
from compiler.costs.kernels import Compute, forward_seconds
from compiler.costs.memory import sharded
from compiler.costs.params import Counts, Totals, rebuilt

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration


@dataclass(frozen=True)
class Train:
    """A step's time, its parts (they add up to it) and what follows from it."""

    step_time_s: float
    tokens_per_s: float
    tokens_per_s_per_gpu: float
    model_tflops_per_gpu: float
    mfu: float
    bubble_fraction: float
    model_flops: float
    pipeline_s: float
    bubble_s: float
    gradients_s: float
    optimizer_s: float
    fixed_s: float = 0.0
    kernels_s: float | None = None
    exposed_s: float | None = None
    waiting_s: float | None = None
    step_time_low_s: float | None = None
    step_time_high_s: float | None = None


def train(
    case: Case, whole: Totals, held: Counts, reaches: Reaches, gpus: int, measured: Calibration | None = None
) -> tuple[Train, list[Row]]:
    """Project one step and list its collectives: by measured curves, or by the roofline where there are none."""
    if measured is not None:
        return _by_curves(case, whole, held, reaches, gpus, measured)
    ahead, back, passes, syncs = _both(reaches, case, held)
    busy = case.micro_batches * bubble.on_ranks(case, ahead + back).max(axis=-1)
    shares = bubble.chunk_shares(case, whole, lambda apart, its: np.add(*_both(reaches, apart, its)[:2]))
    waiting = bubble.replayed(case, ahead, back, shares)
    synced = _gradients(case, syncs, ahead, back).max(axis=-1)
    updated = optimizer_seconds(case, held).max(axis=-1)
    parts = {"busy": busy, "waiting": waiting, "synced": synced, "updated": updated}
    seconds = list(settled({name: float(np.max(value)) for name, value in parts.items()}).values())
    rows = [row(item, "train", float(case.micro_batches)) for item in [*passes, *syncs]]
    return _projection(case, flops.model_step(case, whole), seconds, gpus), rows


def _both(reaches: Reaches, case: Case, held: Counts) -> tuple[Array, Array, list[Timed], list[Timed]]:
    """Seconds of a micro-batch forward and backward on each stage, and the collectives of a micro-batch and of a step."""
    forward = whole_sequences(case, "train", case.workload.longest)
    passes = timed(traffic.passing(case, forward), reaches, case.hardware)
    syncs = timed(traffic.synchronising(case, held), reaches, case.hardware)
    ahead, back = _passes(case, held, forward_seconds(case, held, forward), [*passes, *syncs])
    return ahead, back, passes, syncs


def _by_curves(
    case: Case, whole: Totals, held: Counts, reaches: Reaches, gpus: int, measured: Calibration
) -> tuple[Train, list[Row]]:
    """The pipeline's seconds are kernels, exposed collectives, and waiting for the host or for sharded parameters."""
    from compiler.costs.step import work

    found, flows = work(case, held, reaches, measured.gpu)
    by = bubble.step(case, found, measured.software, chunk_shares(case, whole, reaches, measured))
    seconds = settled({key: float(np.max(value)) for key, value in vars(by).items()})
    pipeline_s = seconds["kernels_s"] + seconds["exposed_s"] + seconds["waiting_s"]
    parts = [pipeline_s, seconds["bubble_s"], seconds["gradients_s"], seconds["optimizer_s"], seconds["fixed_s"]]
    base = _projection(case, flops.model_step(case, whole), parts, gpus)
    inside = {key: seconds[key] for key in ("kernels_s", "exposed_s", "waiting_s")}
    low, high = measured.interval("step", base.step_time_s)
    rows = [row(item, "train", float(np.max(case.micro_batches))) for item in flows]
    return replace(base, **inside, step_time_low_s=low, step_time_high_s=high), rows


def chunk_shares(case: Case, whole: Totals, reaches: Reaches, measured: Calibration) -> tuple[float, ...]:
    """`bubble.chunk_shares` by measured curves."""
    from compiler.costs.step import stages, work

    def seconds(apart: Case, its: Counts) -> Array:
        return stages(work(apart, its, reaches, measured.gpu)[0], measured.software).total

    return bubble.chunk_shares(case, whole, seconds)


def _projection(case: Case, model_flops: float, parts: list[float], gpus: int) -> Train:
    """Everything that follows from the seconds of a step: pipeline, bubble, gradients, optimizer, and the rest."""
    step = np.float64(sum(parts))
    tokens = case.workload.global_batch_size * case.workload.longest / step
    rate = model_flops / (step * gpus)
    return Train(
        step_time_s=float(step),
        tokens_per_s=float(tokens),
        tokens_per_s_per_gpu=float(tokens / gpus),
        model_tflops_per_gpu=float(rate / 1e12),
        mfu=float(rate / flops.peak_flops(case.hardware.gpu, case.workload.precision)),
        bubble_fraction=float(pipeline.bubble_fraction(case)),
        model_flops=model_flops,
        pipeline_s=parts[0],
        bubble_s=parts[1],
        gradients_s=parts[2],
        optimizer_s=parts[3],
        fixed_s=sum(parts[4:]),
    )


def _passes(case: Case, held: Counts, compute: Compute, flows: list[Timed]) -> tuple[Array, Array]:
    """Forward and backward seconds of one micro-batch on each stage, with the collectives that show."""
    back = BACKWARD_RATIO * compute.total - (1 - trained.share(case)) * compute.gemms + _again(case, held, compute)
    shown = pass_seconds(flows, compute.total, compute.core, backward=False)
    shown_back = pass_seconds(flows, back, BACKWARD_RATIO * compute.core, backward=True)
    return compute.total + shown, back + shown_back


def _again(case: Case, held: Counts, compute: Compute) -> Array:
    """Forward seconds that recomputation spends in backward."""
    if case.workload.recompute == "full":
        return compute.total
    experts = held.moe_gemm * ("moe" in case.rebuilt)
    share = (rebuilt(case) + experts) / np.maximum(held.dense_gemm + held.moe_gemm, 1)
    return compute.core * ("core_attn" in case.rebuilt) + compute.gemms * share


def _gradients(case: Case, syncs: list[Timed], ahead: Array, back: Array) -> Array:
    """What once-a-step collectives add: gradients hide behind the last micro-batch's backward pass, parameters behind
    the first one's forward pass, but for the last layer's part of them.
    """
    count = np.maximum(case.running.layers, 1)
    added = np.zeros_like(ahead)
    for role, window in (("gradients", back), ("parameters", ahead)):
        spent = np.zeros_like(ahead)
        for item in syncs:
            spent = spent + (item.flow.role == role) * item.flow.step * item.call_s
        added = added + np.maximum(spent - window, spent / count)
    return added


def optimizer_seconds(case: Case, held: Counts) -> Array:
    """Memory traffic of the update: the shard's states, and clearing the gradient buffer."""
    gpu = case.hardware.gpu
    own = trained.trained(case, held)
    moved = states.updated(case) * sharded(case, own, 1) + case.gradient_bytes * sharded(case, own, 2)
    return moved / (gpu.memory_bandwidth * gpu.memory_efficiency)
