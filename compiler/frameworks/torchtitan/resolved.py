"""What torchtitan's parser and ParallelDims come to, beside what the plan rests on."""

from __future__ import annotations

from typing import Any

from compiler.frameworks.resolved import Resolved
from compiler.frameworks.torchtitan.arguments import replicas
from compiler.frameworks.torchtitan.emit import PRECISION
from compiler.frameworks.torchtitan.layout import sharded
from compiler.world import World

POLICIES = {"NoneType": "none", "FullAC.Config": "full", "SelectiveAC.Config": "selective"}
"""Its policies of recomputation, by class."""


def planned(world: World) -> dict[str, Any]:
    """What the plan rests on. Weights and what is reduced are FP32 beside a copy for computing (FSDP's mixed precision)."""
    config, degrees, workload = world.config, world.degrees, world.config.workload
    accumulated = workload.micro_batch_size if degrees.pp == 1 else workload.global_batch_size // degrees.adp
    found: dict[str, Any] = {
        "dp_replicate": replicas(config),
        "dp_shard": sharded(config),
        "cp": degrees.cp,
        "tp": degrees.tp,
        "pp": degrees.pp,
        "ep": degrees.ep if config.model.moe else 1,
        "global batch": workload.global_batch_size,
        "local batch": accumulated,
        "sequence length": workload.longest,
        "weights": "float32",
        "precision": PRECISION.get(workload.precision),
        "gradients": {"fp32": "float32", "bf16": "bfloat16"}[workload.states.gradients],
        "recompute": workload.recompute,
        "optimizer on the host": workload.optimizer_offload > 0,
    }
    if degrees.tp > 1:
        found["sequence parallel"] = config.sequence_parallel
    if degrees.pp > 1:
        found["micro-batch"] = workload.micro_batch_size
    if workload.zero_stage in (2, 3):
        found["weights gathered again"] = workload.zero_stage == 3
    return found


def read(parsed: Any, dims: Any) -> Resolved:
    """The same names of the parsed sections and of the ParallelDims made of them."""
    from torchtitan.distributed.fsdp import get_fsdp_reshard_after_forward_policy

    training, parallelism = parsed.training, parsed.parallelism
    degrees = {name: getattr(dims, name) for name in ("dp_replicate", "dp_shard", "cp", "tp", "pp", "ep")}
    again = get_fsdp_reshard_after_forward_policy(parallelism.fsdp_reshard_after_forward, dims.pp > 1)
    found = {
        "global batch": training.global_batch_size,
        "local batch": training.local_batch_size,
        "sequence length": training.seq_len,
        "weights": training.dtype,
        "precision": training.mixed_precision_param,
        "gradients": training.mixed_precision_reduce,
        "recompute": POLICIES.get(type(parsed.activation_checkpoint).__qualname__, "other"),
        "optimizer on the host": training.enable_cpu_offload,
        "sequence parallel": parallelism.enable_sequence_parallel,
        "micro-batch": parallelism.pipeline_parallel_microbatch_size,
        "weights gathered again": again,
    }
    return Resolved({**degrees, **found})
