"""What MaxText's configuration comes to, beside what the plan rests on: by its own keys, which the oracle reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.frameworks.maxtext import described, host
from compiler.frameworks.maxtext.emit import REMAT, given, micro_batches
from compiler.frameworks.maxtext.layout import data_axis
from compiler.frameworks.maxtext.model import DTYPES
from compiler.frameworks.resolved import OneOf, Resolved
from compiler.world import World


def planned(world: World) -> dict[str, Any]:
    """Sizes and layers of the model, precision, batches and what is kept. Tensors of one layer have one policy."""
    config, model = world.config, world.config.model
    found: dict[str, Any] = {
        "num_decoder_layers": model.num_hidden_layers,
        "emb_dim": model.hidden_size,
        "vocab_size": model.vocab_size,
        "num_query_heads": model.num_attention_heads,
        "num_kv_heads": model.kv_heads,
        "dtype": DTYPES[config.workload.precision],
        "quantization": "fp8" if config.workload.precision == "fp8" else OneOf(frozenset({"", None})),
    }
    if model.moe:
        found |= {"num_experts": model.num_experts, "num_experts_per_tok": model.num_experts_per_tok}
        found |= {"moe_mlp_dim": model.expert_size}
    found |= {name: value for name, value in described.settings(config).items() if name not in given(config)}
    return found | _trained(world) if config.workload.train else found


def _trained(world: World) -> dict[str, Any]:
    config, pp, workload = world.config, world.degrees.pp, world.config.workload
    states = workload.states
    names = {"decoder_layer_input", *host.KEPT[workload.recompute]} if workload.activation_offload else set()
    found: dict[str, Any] = {
        "global_batch_size_to_train_on": workload.global_batch_size,
        "num_pipeline_microbatches" if pp > 1 else "gradient_accumulation_steps": micro_batches(config),
        "max_target_length": workload.longest,
        "tensors_to_offload": sorted(names),
        "remat_policy": "custom" if workload.activation_offload else REMAT[workload.recompute],
        "weight_dtype": "float32",
        "grad_dtype": host.DTYPES[states.gradients],
        "mu_dtype": host.DTYPES.get(states.exp_avg),
        "optimizer_memory_host_offload": workload.optimizer_offload > 0,
    }
    if data_axis(config) == "data":
        found["shard_optimizer_over_data"] = workload.distributed_optimizer or workload.zero_stage > 0
    if not workload.fused_attention:
        found["attention"] = "dot_product"
    return found


def read(values: Mapping[str, Any]) -> Resolved:
    """Lists of names have no order."""
    return Resolved({**values, "tensors_to_offload": sorted(values["tensors_to_offload"] or ())})
