"""States or activations that live in the host's memory: what the GPU no longer holds, and what moving them costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import moved
from compiler.costs.arrays import Array
from compiler.costs.case import Case

if TYPE_CHECKING:
    from compiler.costs.train import Train

HOST_BANDWIDTH = 25e9
"""Bytes/s per direction between a GPU and its host: PCIe 4.0 x16, 31.5e9 in theory, 80 % of it (assumed for every GPU)."""

HOST_UPDATE_BANDWIDTH = 25e9
"""Bytes/s of the host's memory that Adam on its processors gets for each GPU: 8 channels of DDR5, 200e9, for 8 GPUs (assumed)."""

UPDATE_BYTES = 28.0
"""Memory traffic of a weight in Adam: gradient read 4, master and moments read 12 and written 12."""


def seconds_of_update(case: Case, shard: Array) -> Array:
    """Optimizer on the host, arrays over stages: gradients go there, the update runs, weights come back."""
    moved = case.workload.optimizer_offload * shard
    return np.asarray(
        moved * ((case.gradient_bytes + case.activation_bytes) / HOST_BANDWIDTH + UPDATE_BYTES / HOST_UPDATE_BANDWIDTH)
    )


def exposed(case: Case, activations: Array, forward_s: Array | float) -> Array:
    """Seconds that moving what goes of a micro-batch's `activations` out and back adds on the worst stage: out beside its forward pass, in
    beside its backward pass, which lasts twice as long.
    """
    each = moved.each(case, activations).max(axis=-1) / HOST_BANDWIDTH
    return np.asarray(np.maximum(0.0, each - forward_s) + np.maximum(0.0, each - 2 * forward_s))


def seconds(case: Case, shard: Array, activations: Array, pipeline_s: Array | float) -> tuple[Array, Array]:
    """What a step's update and its pipeline of `pipeline_s` take longer, of one plan or of many."""
    count = np.maximum(1.0, np.asarray(case.micro_batches + 0 * case.tp))
    count = count[..., 0] if count.ndim else count
    moved = exposed(case, activations, pipeline_s / count / 3)
    return seconds_of_update(case, shard).max(axis=-1), count * moved


def stretched(step: Train, update_s: float, pipeline_s: float) -> Train:
    """The same step with more of both parts; rates go down as it gets longer."""
    whole = step.step_time_s + update_s + pipeline_s
    slower = step.step_time_s / whole
    shown = None if step.exposed_s is None else step.exposed_s + pipeline_s
    return replace(
        step,
        step_time_s=whole,
        tokens_per_s=step.tokens_per_s * slower,
        tokens_per_s_per_gpu=step.tokens_per_s_per_gpu * slower,
        model_tflops_per_gpu=step.model_tflops_per_gpu * slower,
        mfu=step.mfu * slower,
        optimizer_s=step.optimizer_s + update_s,
        pipeline_s=step.pipeline_s + pipeline_s,
        exposed_s=shown,
    )


def added(case: Case, shard: Array, activations: Array, step: Train) -> Train:
    """A step with what offloading adds; `shard`: weights that a rank updates, `activations`: bytes that a micro-batch keeps."""
    workload = case.workload
    if not workload.optimizer_offload and not workload.activation_offload and not workload.offload_modules:
        return step
    update_s, moved_s = seconds(case, shard, activations, step.pipeline_s)
    return stretched(step, float(update_s), float(moved_s))
