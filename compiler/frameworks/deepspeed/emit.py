"""DeepSpeed's JSON, the arguments of its constructors, and the two options that a program hands to initialize()."""

from __future__ import annotations

import math
from typing import Any

from compiler.frameworks.deepspeed import host, json_args, layout, ulysses
from compiler.frameworks.emission import Computed, Emission, merged
from compiler.render.artifacts import Artifact, to_json
from compiler.specs.config import Config
from compiler.world import World

MIN_CAPACITY = 4
"""MoE's default of min_capacity (moe/layer.py)."""


def emission(world: World) -> Emission:
    """Files always; arguments only where there is a program to read them, for DeepSpeed has none of its own.

    Raises ConfigError where `framework.args` clash with the plan.
    """
    config = world.config
    ours = ("--deepspeed", "--deepspeed_config", Computed("{RANKPLAN_PLAN}/framework/ds_config.json"))
    arguments = merged(config, ours, aliases={"--deepscale": "--deepspeed", "--deepscale_config": "--deepspeed_config"})
    passed = tuple(item for item in arguments if not (isinstance(item, str) and item.startswith(json_args.PREFIX)))
    files = (
        Artifact("framework/ds_config.json", to_json(json_args.laid_over(config, ds_config(config)))),
        Artifact("framework/constructors.json", to_json(constructors(config))),
    )
    return Emission(arguments=passed if config.launch.command else (), files=files)


def ds_config(config: Config) -> dict[str, Any]:
    """What the plan decides of the JSON; gradient clipping, optimizer and the like are the user's."""
    workload, degrees, auto = config.workload, config.degrees, config.model.moe and layout.chosen(config).auto
    found: dict[str, Any] = {
        "train_batch_size": workload.global_batch_size,
        "train_micro_batch_size_per_gpu": workload.micro_batch_size,
        "gradient_accumulation_steps": workload.global_batch_size // (degrees.adp * workload.micro_batch_size),
        "zero_optimization": {"stage": zero_stage(config), **host.zero(config)},
        **host.checkpointing(config),
    }
    if precision(config):
        found[precision(config)] = {"enabled": True}
    if workload.train and precision(config) and zero_stage(config):  # without ZeRO it takes that of the weights alone
        found["data_types"] = {"grad_accum_dtype": workload.states.gradients}
    if config.model.moe and layout.chosen(config).data_first:
        found["use_data_before_expert_parallelism"] = True
    if auto:
        found["expert_parallel"] = {"enabled": True, "autoep_size": degrees.ep, "expert_tensor_parallel_size": 1}
    if layout.folded(config):
        found["tensor_parallel"] = {"autotp_size": degrees.tp}
        del found["train_batch_size"]  # without an mpu DeepSpeedConfig counts every rank as data-parallel
    if ulysses.asked(config):
        found["sequence_parallel_size"] = degrees.cp
    if degrees.pp > 1 and workload.recompute == "full":
        found["pipeline"] = {"activation_checkpoint_interval": 1}
    return found


def zero_stage(config: Config) -> int:
    """The distributed optimizer is ZeRO 1; serving has no optimizer."""
    workload = config.workload
    return max(workload.zero_stage, int(workload.distributed_optimizer)) if workload.train else 0


def precision(config: Config) -> str:
    """The JSON section of the precision, empty for FP32; FP8 and FP4 recipes keep weights in BF16."""
    return {"fp32": "", "fp16": "fp16"}.get(config.workload.precision, "bf16")


def constructors(config: Config) -> dict[str, dict[str, Any]]:
    """Keyword arguments, by the class (or function) of DeepSpeed that takes them; the user adds model and experts."""
    degrees = config.degrees
    found: dict[str, dict[str, Any]] = {}
    if ulysses.asked(config):
        found[ulysses.REGISTER] = ulysses.arguments(config)
    elif not layout.folded(config):
        found["PipeModelDataParallelTopology"] = {
            "num_pp": degrees.pp,
            "num_mp": degrees.tp,
            "num_dp": degrees.adp,
        }
    if degrees.pp > 1:
        found["PipelineModule"] = {"partition_method": "uniform"}
    if config.model.moe and not layout.chosen(config).auto:
        found |= _moe(config)
    return found


def _moe(config: Config) -> dict[str, dict[str, Any]]:
    model, degrees, chosen = config.model, config.degrees, layout.chosen(config)
    arguments = {
        "hidden_size": model.hidden_size,
        "num_experts": model.num_experts,
        "ep_size": degrees.ep,
        "k": model.num_experts_per_tok,
        "min_capacity": min_capacity(config),
        "enable_expert_tensor_parallelism": chosen.split,
        "drop_tokens": config.workload.train and config.workload.dispatch == "capacity",
        "top2_2nd_expert_sampling": False,
        **({"noisy_gate_policy": "Jitter"} if model.router_jitter_noise else {}),
    }
    found: dict[str, dict[str, Any]] = {"MoE": arguments}
    if chosen.strided:  # before MoE is built, which then finds the groups by their name
        found["_create_expert_and_data_parallel"] = {
            "expert_parallel_size_": degrees.ep,
            "mp_size": degrees.tp,
            "pp_size": degrees.pp,
            "mp_mode": "tp",
        }
    return found


def capacity(config: Config) -> int:
    """Tokens that an expert takes of a training micro-batch with capacity_factor 1 (moe/sharded_moe.py _capacity)."""
    import numpy as np

    workload, model = config.workload, config.model
    tokens = workload.micro_batch_size * (workload.sequence_length or 1)
    each = np.float32(tokens / model.num_experts) * np.float32(model.num_experts_per_tok)
    return max(math.ceil(each), MIN_CAPACITY)


def min_capacity(config: Config) -> int:
    """MoE's default, or where tp does not divide the capacity the next multiple: drop_tokens() cuts it in tp pieces."""
    tp = config.degrees.tp
    if tp == 1 or not config.workload.train or capacity(config) % tp == 0:
        return MIN_CAPACITY
    return -(-capacity(config) // tp) * tp
