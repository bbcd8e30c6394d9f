"""How MaxText is started: one process a node, and every degree and dimension as a key=value word."""

from __future__ import annotations

import math
import re
from typing import Any

from compiler.errors import ConfigError
from compiler.frameworks import owned, told
from compiler.frameworks.emission import Computed, Emission
from compiler.frameworks.maxtext import described, host, model
from compiler.frameworks.maxtext.layout import UNDERSTOOD, data_axis, mesh_axes, sizes
from compiler.frameworks.versions import version
from compiler.specs.config import Config
from compiler.world import World

KEYS = {"stage": "pipeline"}
"""Mesh axes whose keys are called otherwise."""

SOFT = frozenset({"decoder_block"})
"""Keys beside those of `described` that framework.args may set: the plan has no word for them, and ours is a guess."""

OWNED = {
    "ici_tensor_parallelism": "parallel.tp",
    "ici_context_parallelism": "parallel.cp",
    "ici_expert_parallelism": "parallel.ep",
    "ici_pipeline_parallelism": "parallel.pp",
    "max_target_length": "workload.sequence_length",
    "base_emb_dim": "model.hidden_size",
    "base_num_decoder_layers": "model.num_hidden_layers",
    "base_num_query_heads": "model.num_attention_heads",
    "base_num_kv_heads": "model.num_key_value_heads",
    "base_mlp_dim": "model.intermediate_size",
    "vocab_size": "model.vocab_size",
    "num_experts": "model.num_experts",
    "num_experts_per_tok": "model.num_experts_per_tok",
}
"""Keys of MaxText, and the key that each comes from."""

PLANNED = re.compile(
    r"(ici|dcn)_(?!sequence_)\w+_parallelism|(ici|dcn)_parallelism|mesh_axes|logical_axis_rules|custom_mesh\w*"
    r"|subslice_shape|compile_topology\w*|enable_single_controller|elastic_enabled|optimize_mesh_for_tpu_v6e"
    r"|inference_benchmark_test|global_parameter_scale|context_sharding"
    r"|pipeline_parallel_layers|num_layers_per_pipeline_stage|num_pipeline_repeats|num_pipeline_microbatches"
)
"""Keys that would make another mesh or model of it, set by the plan or not."""

REMAT = {"none": "minimal_with_context", "selective": "minimal", "full": "full"}
"""Kept: everything between matrix multiplications; the same less attention's core; nothing. MaxText's `none` is its `full`."""


def emission(world: World) -> Emission:
    """JAX finds the other nodes by the variables that `initialize_jax_for_gpu` reads (utils/max_utils.py)."""
    config = world.config
    facts = version(config).facts
    return Emission(
        program=("python3", "-m", str(facts["train" if config.workload.train else "decode"]), str(facts["config"])),
        arguments=_merged(config, settings(config)),
        environment={
            "JAX_COORDINATOR_IP": Computed("{MASTER_HOST}"),
            "JAX_COORDINATOR_PORT": Computed("{MASTER_PORT}"),
            "NNODES": str(world.slots.share.nodes),
        },
        unit="node",
    )


def settings(config: Config) -> dict[str, Any]:
    """Key -> value of everything that the plan decides."""
    return {
        "hardware": "gpu",
        **_mesh(config),
        **_pipeline(config),
        **batch(config),
        **model.settings(config),
        **described.settings(config),
        **_memory(config),
    }


def given(config: Config) -> dict[str, str]:
    """What framework.args set; a word without `=` is MaxText's to refuse."""
    return dict(word.split("=", 1) for word in config.framework.args if "=" in word)


def _merged(config: Config, ours: dict[str, Any]) -> tuple[str, ...]:
    """Raises ConfigError where framework.args set a key that the plan decides."""
    user, said = given(config), told.agreeing(config, host.KEYS, told.words(config.framework.args, starts=bool))
    free = ({*SOFT, *described.settings(config)} - {*_memory(config)}) | said
    planned = {key for key in user if (key in ours and key not in free) or PLANNED.fullmatch(key)}
    clashes = sorted(planned - {*UNDERSTOOD})
    if clashes:
        raise ConfigError(owned.problems(clashes, OWNED, user))
    kept = {key: value for key, value in ours.items() if key in UNDERSTOOD or key not in user}
    own = (word for word in config.framework.args if word.split("=", 1)[0] not in UNDERSTOOD)
    return (*(f"{key}={_text(value)}" for key, value in kept.items()), *own)


def _text(value: Any) -> str:
    """A value as OmegaConf reads it back."""
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ",".join(map(_text, value)) + "]" if isinstance(value, list) else str(value)


def _mesh(config: Config) -> dict[str, Any]:
    """Every axis of the mesh: one that is left out may be 'the rest'. A GPU cluster is one slice."""
    own = sizes(config)
    ici = {f"ici_{KEYS.get(axis, axis)}_parallelism": own.get(axis, 1) for axis in mesh_axes(config)}
    return {**ici, "dcn_data_parallelism": 1, "num_slices": 1, "allow_split_physical_axes": False}


def _pipeline(config: Config) -> dict[str, Any]:
    parallel = config.parallel
    if parallel.pp == 1:
        return {}
    return {
        "pipeline_parallel_layers": config.model.num_hidden_layers,
        "num_layers_per_pipeline_stage": config.model.num_hidden_layers // (parallel.pp * parallel.vpp),
        "num_pipeline_repeats": parallel.vpp,
        "num_pipeline_microbatches": micro_batches(config) if config.workload.train else parallel.pp,
    }


def micro_batches(config: Config) -> int:
    """Of a step, each holding micro_batch_size sequences for every rank of attention DP."""
    workload = config.workload
    return workload.global_batch_size // (config.degrees.adp * workload.micro_batch_size)


def batch(config: Config) -> dict[str, Any]:
    """A pipeline is fed all micro-batches at once; without one they are steps of gradient accumulation."""
    workload, world = config.workload, config.degrees.world_size
    steps = micro_batches(config) if workload.train and config.degrees.pp == 1 else 1
    sequences = workload.global_batch_size // max(steps, 1)
    found = {"per_device_batch_size": per_device(sequences, world)}
    if workload.train:
        return {**found, "gradient_accumulation_steps": steps, "max_target_length": workload.longest}
    lengths = {
        "max_prefill_predict_length": workload.longest,
        "max_target_length": workload.longest + workload.output_length,
    }
    return {**found, **lengths}


def per_device(sequences: int, devices: int) -> float:
    """A quotient that, times devices and cut to an integer as MaxText does, is `sequences` again."""
    found = sequences / devices
    while int(devices * found) < sequences:
        found = math.nextafter(found, math.inf)
    return found


def _memory(config: Config) -> dict[str, Any]:
    """Recomputation, what goes to the host, and ZeRO: 3 is the fsdp axis, less than that cuts optimizer states over data."""
    workload = config.workload
    if not workload.train:
        return {}
    sharded = data_axis(config) == "data" and (workload.distributed_optimizer or workload.zero_stage > 0)
    recomputed = {"remat_policy": REMAT[workload.recompute], "shard_optimizer_over_data": sharded}
    return {**recomputed, **host.settings(config)}
