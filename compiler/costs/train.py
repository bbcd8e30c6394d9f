"""The projection of one plan's training step: its parts and its rates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import settled
from compiler.costs.calibration import Calibration
from compiler.costs.comm.timed import Row, row
from compiler.costs.pipeline import flight
from compiler.costs.replayed import replayed
from compiler.costs.shape import Shape
from compiler.costs.step import step, work
from compiler.costs.work import flops
from compiler.frozen import dataclass


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
    fixed_s: float
    kernels_s: float
    exposed_s: float
    waiting_s: float
    step_time_low_s: float | None = None
    step_time_high_s: float | None = None


def train(plan: Shape, by: Calibration) -> tuple[Train, list[Row]]:
    """Project one step and list its collectives. The pipeline's seconds are kernels, exposed collectives, and waiting for the host or
    for sharded parameters.
    """
    found, flows = work(plan, by.gpu)
    parts = step(found, by.software, replayed(plan, by))
    seconds = settled({key: float(np.max(value)) for key, value in vars(parts).items()})
    return _projection(plan, seconds), [row(item, "train", float(plan.case.micro_batches)) for item in flows]


def _projection(plan: Shape, seconds: Mapping[str, float]) -> Train:
    """Everything that follows from the seconds of a step by part."""
    case, gpus = plan.case, int(plan.case.ranks)
    pipeline_s = seconds["kernels_s"] + seconds["exposed_s"] + seconds["waiting_s"]
    others = {key: seconds[key] for key in ("bubble_s", "gradients_s", "optimizer_s", "fixed_s")}
    whole, model_flops = np.float64(sum([pipeline_s, *others.values()])), flops.model_step(case, plan.whole)
    tokens = case.workload.global_batch_size * case.workload.longest / whole
    rate = model_flops / (whole * gpus)
    return Train(
        step_time_s=float(whole),
        tokens_per_s=float(tokens),
        tokens_per_s_per_gpu=float(tokens / gpus),
        model_tflops_per_gpu=float(rate / 1e12),
        mfu=float(rate / flops.peak_flops(case.hardware.gpu, case.workload.precision)),
        bubble_fraction=flight.bubble_fraction(case),
        model_flops=model_flops,
        pipeline_s=pipeline_s,
        **seconds,
    )
