"""The arguments that make torchtitan build the plan: `--parallelism.*`, `--training.*`, and a registered model."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.frameworks.emission import Emission, merged
from compiler.frameworks.torchtitan import stages
from compiler.frameworks.torchtitan.arguments import (
    DECIDED,
    REPLICATE,
    RESHARD,
    UNDERSTOOD,
    given,
    known_model,
    named,
    replicas,
    spelling,
    spellings,
)
from compiler.frameworks.torchtitan.layout import sharded
from compiler.specs.config import Config
from compiler.world import World

OWNED = {
    "--parallelism.tensor_parallel_degree": "parallel.tp",
    "--parallelism.pipeline_parallel_degree": "parallel.pp",
    "--parallelism.context_parallel_degree": "parallel.cp",
    "--parallelism.expert_parallel_degree": "parallel.ep",
    "--parallelism.data_parallel_shard_degree": "parallel.adp",
    "--parallelism.pipeline_parallel_schedule": "workload.schedule",
    "--training.global_batch_size": "workload.global_batch_size",
    "--training.local_batch_size": "workload.micro_batch_size",
    "--training.seq_len": "workload.sequence_length",
    "--training.mixed_precision_param": "workload.precision",
}
"""Options of ours, and the key that each comes from."""

PRECISION = {"bf16": "bfloat16", "fp8": "bfloat16", "fp32": "float32"}
"""`mixed_precision_param`; eight-bit layers are converters of the model's config, around bf16."""


def emission(world: World) -> Emission:
    """Raises ConfigError where `framework.args` set what the plan does."""
    config, user = world.config, world.config.framework.args
    ours = [*_model(config), *_parallelism(config), *_training(config)]
    arguments = merged(config, ours, aliases=spellings(user), decided=DECIDED, keys=OWNED)
    if named(config):  # a list would take in the subcommand behind it
        arguments = (*user, *ours)
    return Emission(
        program=("python3", "-m", "torchtitan.train"),
        arguments=(*arguments, *_recompute(config)),
        environment={"PYTORCH_ALLOC_CONF": "expandable_segments:True"},
    )


def _model(config: Config) -> Iterator[str]:
    row = known_model(config)
    if row is not None:
        yield from (f"--module={row['module']}", f"--config={row['config']}")


def _parallelism(config: Config) -> Iterator[str]:
    """Every degree, 1s too: a registered config has its own."""
    degrees, said = config.degrees, given(config)
    values = {
        REPLICATE: replicas(config),
        "--parallelism.data_parallel_shard_degree": sharded(config),
        "--parallelism.context_parallel_degree": degrees.cp,
        "--parallelism.tensor_parallel_degree": degrees.tp,
        "--parallelism.pipeline_parallel_degree": degrees.pp,
        "--parallelism.expert_parallel_degree": degrees.ep if config.model.moe else 1,
    }
    if degrees.pp > 1:
        values["--parallelism.pipeline_parallel_microbatch_size"] = config.workload.micro_batch_size
    yield from (f"{name}={value}" for name, value in values.items() if name not in said or name not in UNDERSTOOD)
    yield from stages.arguments(config)
    if degrees.pp > 1:
        yield f"--parallelism.pipeline_parallel_schedule={stages.schedule(config)}"
    policy = {2: "never", 3: "always"}.get(config.workload.zero_stage)
    if policy is not None and RESHARD not in said:
        yield f"{RESHARD}={policy}"
    yield f"--parallelism.{'' if config.sequence_parallel or degrees.tp == 1 else 'no_'}enable_sequence_parallel"


def _training(config: Config) -> Iterator[str]:
    """A pipeline takes a rank's whole batch at once; without one, micro-batches are accumulated."""
    workload, degrees = config.workload, config.degrees
    local = workload.global_batch_size // degrees.adp if degrees.pp > 1 else workload.micro_batch_size
    yield f"--training.global_batch_size={workload.global_batch_size}"
    yield f"--training.local_batch_size={local}"
    yield f"--training.seq_len={workload.longest}"
    yield f"--training.mixed_precision_param={PRECISION.get(workload.precision, 'bfloat16')}"
    if workload.optimizer_offload:
        yield "--training.enable_cpu_offload"  # parameters and gradients too
    if degrees.pp > 1 or (config.model.moe and degrees.ep > 1):
        yield "--training.disable_cuda_graphs"  # they know neither pipelines nor an all-to-all that waits for the host


def _recompute(config: Config) -> Iterator[str]:
    """A subcommand of its parser, so the very last word."""
    if not any(spelling(word).startswith("--activation_checkpoint:") for word in _words(config)):
        yield f"activation_checkpoint:{config.workload.recompute}"


def _words(config: Config) -> Iterator[str]:
    return (f"--{word}" for word in config.framework.args if not word.startswith("-"))
