"""What Megatron's arguments and its TransformerConfig come to once both are validated, beside what the plan rests on."""

from __future__ import annotations

from typing import Any

from compiler.frameworks.megatron.keys import eight_bits, four_bits
from compiler.frameworks.megatron.options import effective, fully_sharded
from compiler.frameworks.megatron.states import recipe
from compiler.frameworks.resolved import Resolved
from compiler.world import World

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "uint8"}
"""Precisions -> PyTorch's names; FP8 moments are kept as bytes."""


def planned(world: World) -> dict[str, Any]:
    """What the plan rests on."""
    config, degrees, workload = world.config, world.degrees, world.config.workload
    found: dict[str, Any] = {
        "tp": degrees.tp,
        "pp": degrees.pp,
        "cp": degrees.cp,
        "ep": degrees.ep,
        "adp": degrees.adp,
        "vpp": degrees.vpp,
        "precision": DTYPES[workload.precision] if workload.precision in ("fp32", "fp16") else DTYPES["bf16"],
        "fp8": (("e4m3" if workload.precision == "mxfp8" else "hybrid"), recipe(config))
        if eight_bits(workload)
        else None,
        "fp4": ("e2m1", "nvfp4") if four_bits(workload) else None,
    }
    if config.model.moe:
        found |= {"etp": degrees.etp, "dispatcher": effective(config)["--moe-token-dispatcher-type"][-1]}
    return found | _trained(world) if workload.train else found


def _trained(world: World) -> dict[str, Any]:
    """Batches, what backward runs again, and what is kept of a weight."""
    config, degrees, workload = world.config, world.degrees, world.config.workload
    states, stage = workload.states, max(workload.zero_stage, int(workload.distributed_optimizer))
    micro = workload.global_batch_size / (workload.micro_batch_size * degrees.adp)
    layers = round(workload.activation_offload * config.model.num_hidden_layers)
    return {
        "micro-batches": micro,
        "sequence length": workload.longest,
        "sequence parallel": config.sequence_parallel and degrees.tp > 1,
        "recompute": None if workload.recompute == "none" else workload.recompute,
        "recomputed modules": sorted(workload.recompute_modules or ["core_attn"])
        if workload.recompute == "selective"
        else None,
        "distributed optimizer": stage > 0,
        "sharding": {2: "optim_grads", 3: "optim_grads_params"}.get(stage) if fully_sharded(config) else None,
        "gradients": DTYPES[
            "fp16" if states.gradients == "bf16" and workload.precision == "fp16" else states.gradients
        ],
        "masters": DTYPES[states.masters],
        "exp_avg": DTYPES[states.exp_avg],
        "exp_avg_sq": DTYPES[states.exp_avg_sq],
        "narrow weights": states.weights,
        "optimizer": workload.optimizer,
        "optimizer states on the host": workload.optimizer_offload,
        "layers whose activations are on the host": layers,
    }


def read(args: Any, config: Any) -> Resolved:
    """The same names of a validated namespace and of the TransformerConfig made of it."""
    again = config.recompute_granularity
    gather = {"fp8": getattr(args, "fp8_param_gather", False), "fp4": getattr(args, "fp4_param_gather", False)}
    found = {
        "tp": config.tensor_model_parallel_size,
        "pp": config.pipeline_model_parallel_size,
        "cp": config.context_parallel_size,
        "ep": config.expert_model_parallel_size,
        "etp": config.expert_tensor_parallel_size,
        "adp": args.data_parallel_size,
        "vpp": config.virtual_pipeline_model_parallel_size or 1,
        "precision": _name(args.params_dtype),
        "fp8": _format(config, "fp8"),
        "fp4": _format(config, "fp4"),
        "dispatcher": config.moe_token_dispatcher_type,
        "micro-batches": (args.global_batch_size or 0) / (args.micro_batch_size * args.data_parallel_size),
        "sequence length": args.seq_length,
        "sequence parallel": config.sequence_parallel,
        "recompute": again,
        "recomputed modules": sorted(config.recompute_modules) if again == "selective" else None,
        "distributed optimizer": args.use_distributed_optimizer or args.use_layer_wise_distributed_optimizer,
        "sharding": args.data_parallel_sharding_strategy if args.use_megatron_fsdp else None,
        "gradients": "float32" if args.accumulate_allreduce_grads_in_fp32 else _name(args.params_dtype),
        "masters": _name(args.main_params_dtype),
        "exp_avg": _name(args.exp_avg_dtype),
        "exp_avg_sq": _name(args.exp_avg_sq_dtype),
        "narrow weights": next((name for name, on in gather.items() if on), None),
        "optimizer": args.optimizer,
        "optimizer states on the host": args.optimizer_offload_fraction if args.optimizer_cpu_offload else 0.0,
        "layers whose activations are on the host": args.cpu_offloading_num_layers,
    }
    return Resolved(found)


def _format(config: Any, name: str) -> tuple[str, str] | None:
    """A narrow format and its recipe, where it is on; older releases have none of 4 bits."""
    on = getattr(config, name, None)
    return (str(on), str(_word(getattr(config, f"{name}_recipe")))) if on else None


def _word(value: Any) -> Any:
    return getattr(value, "value", value)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
