"""States or activations that live in the host's memory: what the GPU no longer holds, and what moving them costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compiler.costs import moved
from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.constants import HOST_UPDATE_BANDWIDTH, PCIE_BANDWIDTH, UPDATE_BYTES

if TYPE_CHECKING:
    from compiler.costs.train import Train


def seconds_of_update(case: Case, shard: Array) -> Array:
    """Optimizer on the host, arrays over stages: gradients go there, the update runs, weights come back."""
    moved = case.workload.optimizer_offload * shard
    return np.asarray(
        moved * ((case.gradient_bytes + case.activation_bytes) / PCIE_BANDWIDTH + UPDATE_BYTES / HOST_UPDATE_BANDWIDTH)
    )


def exposed(case: Case, activations: Array, forward_s: Array | float) -> Array:
    """Seconds that moving what goes of a micro-batch's `activations` out and back adds on the worst stage: out beside its forward pass, in
    beside its backward pass, which lasts twice as long.
    """
    each = moved.each(case, activations).max(axis=-1) / PCIE_BANDWIDTH
    return np.asarray(np.maximum(0.0, each - forward_s) + np.maximum(0.0, each - 2 * forward_s))


def seconds(case: Case, shard: Array, activations: Array, pipeline_s: Array | float) -> tuple[Array, Array]:
    """What a step's update and its pipeline of `pipeline_s` take longer, of one plan or of many."""
    count = np.maximum(1.0, case.of_a_plan(case.micro_batches))
    moved = exposed(case, activations, pipeline_s / count / 3)
    return seconds_of_update(case, shard).max(axis=-1), count * moved


def stretched(step: Train, update_s: float, pipeline_s: float) -> Train:
    """The same step with more of both parts; rates go down as it gets longer."""
    whole = step.step_time_s + update_s + pipeline_s
    slower = step.step_time_s / whole
    return replace(
        step,
        step_time_s=whole,
        tokens_per_s=step.tokens_per_s * slower,
        tokens_per_s_per_gpu=step.tokens_per_s_per_gpu * slower,
        model_tflops_per_gpu=step.model_tflops_per_gpu * slower,
        mfu=step.mfu * slower,
        optimizer_s=step.optimizer_s + update_s,
        pipeline_s=step.pipeline_s + pipeline_s,
        exposed_s=step.exposed_s + pipeline_s,
    )


def added(case: Case, shard: Array, activations: Array, step: Train) -> Train:
    """A step with what offloading adds; `shard`: weights that a rank updates, `activations`: bytes that a micro-batch keeps."""
    workload = case.workload
    if not workload.optimizer_offload and not workload.activation_offload and not workload.offload_modules:
        return step
    update_s, moved_s = seconds(case, shard, activations, step.pipeline_s)
    return stretched(step, float(update_s), float(moved_s))
