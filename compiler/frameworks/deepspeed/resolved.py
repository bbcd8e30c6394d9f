"""What DeepSpeedConfig makes of ds_config.json, beside what the plan rests on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from compiler.frameworks.deepspeed import layout
from compiler.frameworks.deepspeed.emit import precision, zero_stage
from compiler.frameworks.resolved import Resolved
from compiler.world import World


def planned(world: World) -> dict[str, Any]:
    """What the plan rests on; where it sends nothing to the host, that is the user's. AutoTP's batch counts every rank."""
    config, degrees, workload = world.config, world.degrees, world.config.workload
    batch = workload.global_batch_size
    found: dict[str, Any] = {
        "train_batch_size": batch * world.size // degrees.adp if layout.folded(config) else batch,
        "train_micro_batch_size_per_gpu": workload.micro_batch_size,
        "gradient_accumulation_steps": batch // (degrees.adp * workload.micro_batch_size),
        "zero_optimization.stage": zero_stage(config),
        "precision": precision(config),
        "use_data_before_expert_parallelism": config.model.moe and layout.chosen(config).data_first,
    }
    if workload.train:
        narrow = {"fp16": "float16", "": "float32"}.get(precision(config), "bfloat16")
        found["gradients"] = (
            {"fp32": "float32", "bf16": "bfloat16"}[workload.states.gradients] if zero_stage(config) else narrow
        )
    if workload.train and workload.optimizer_offload:
        found["offload_optimizer"] = workload.optimizer_offload
    if workload.train and workload.activation_offload:
        found["activation_checkpointing.cpu_checkpointing"] = True
    if config.model.moe and layout.chosen(config).auto:
        found |= {"ep": degrees.ep, "tp": degrees.tp}
    return found


def read(config: Any, engine: Any) -> Resolved:
    """The same names of a DeepSpeedConfig; `engine` is DeepSpeed's class, which works out types by it."""
    on = _precision(config)
    asked = SimpleNamespace(
        _config=config,
        fp16_enabled=lambda: on == "fp16",
        bfloat16_enabled=lambda: on == "bf16",
        zero_optimization=lambda: config.zero_optimization_stage > 0,
    )
    offload = config.zero_config.offload_optimizer
    kept = getattr(config, "activation_checkpointing_config", None)
    found = {
        "train_batch_size": config.train_batch_size,
        "train_micro_batch_size_per_gpu": config.train_micro_batch_size_per_gpu,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "zero_optimization.stage": int(config.zero_optimization_stage),
        "precision": on,
        "use_data_before_expert_parallelism": bool(config.use_data_before_expert_parallel_),
        "gradients": str(engine.get_data_types(asked)[1]).removeprefix("torch."),
        "offload_optimizer": offload.ratio if offload is not None and offload.device == "cpu" else 0.0,
        "activation_checkpointing.cpu_checkpointing": bool(kept and kept.cpu_checkpointing),
        "ep": getattr(getattr(config, "expert_parallel_config", None), "autoep_size", 1),
        "tp": max(1, getattr(getattr(config, "tensor_parallel_config", None), "autotp_size", 1)),
    }
    return Resolved(found)


def _precision(config: Any) -> str:
    """The section that is on; older versions keep the switch itself."""
    new = {"bf16": getattr(config, "bfloat16_config", None), "fp16": getattr(config, "float16_config", None)}
    old = {"bf16": getattr(config, "bfloat16_enabled", False), "fp16": getattr(config, "fp16_enabled", False)}
    return next((name for name in new if getattr(new[name], "enabled", old[name])), "")
