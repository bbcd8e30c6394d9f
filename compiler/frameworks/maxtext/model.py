"""A model's sizes in MaxText's keys (base.yml)."""

from __future__ import annotations

import math
from typing import Any

from compiler.frameworks.maxtext.blocks import decoder_block
from compiler.specs.config import Config
from compiler.specs.model import Model

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16"}
"""`dtype`, of activations; fp8 is `quantization` on top."""


def settings(config: Config) -> dict[str, Any]:
    """What the plan counts with."""
    spec, precision = config.model, config.workload.precision
    return {
        "decoder_block": decoder_block(spec),
        "base_num_decoder_layers": spec.num_hidden_layers,
        "base_emb_dim": spec.hidden_size,
        "base_num_query_heads": spec.num_attention_heads,
        "base_num_kv_heads": spec.kv_heads,
        "head_dim": spec.head_size,
        "base_mlp_dim": spec.expert_size if fully_moe(spec) else spec.intermediate_size,
        "vocab_size": spec.vocab_size,
        "logits_via_embedding": spec.tie_word_embeddings,
        "dtype": DTYPES.get(precision, "bfloat16"),  # others are refused
        **({"quantization": "fp8"} if precision == "fp8" else {}),
        **(_experts(spec) if spec.moe else {}),
        **(_latent(spec) if spec.mla else {}),
        **({"sliding_window_size": spec.sliding_window} if spec.sliding_window else {}),
        **({"mtp_num_layers": spec.num_nextn_predict_layers} if spec.num_nextn_predict_layers else {}),
    }


def fully_moe(spec: Model) -> bool:
    return spec.moe and all(spec.moe_layers)


def _experts(spec: Model) -> dict[str, Any]:
    found: dict[str, Any] = {
        "num_experts": spec.num_experts,
        "num_experts_per_tok": spec.num_experts_per_tok,
        "base_moe_mlp_dim": spec.expert_size,
        "first_num_dense_layers": spec.first_k_dense_replace,
    }
    if spec.shared_size:  # releases before 0.2.2 take no 0
        found["shared_experts"] = spec.shared_size // spec.expert_size
    if spec.n_group > 1:
        found |= {"n_routing_groups": spec.n_group, "topk_routing_group": spec.topk_group}
    if decoder_block(spec) == "gpt_oss":
        found["inhomogeneous_layer_cycle_interval"] = 2
    if decoder_block(spec) == "llama4":
        found |= _interleaved(spec)
    return found


def _interleaved(spec: Model) -> dict[str, Any]:
    """Every so many layers route, and every so many do not rotate: the cycle has whole ones of both."""
    step = interleaved(spec)
    interval = (spec.no_rope_layers or [1]).index(0) + 1 if 0 in (spec.no_rope_layers or []) else 1
    return {"interleave_moe_layer_step": step, "inhomogeneous_layer_cycle_interval": math.lcm(step, interval)}


def interleaved(spec: Model) -> int:
    """Layers from one with experts to the next of Llama 4."""
    return spec.moe_layers.index(True) + 1 if any(spec.moe_layers) else 1


def _latent(spec: Model) -> dict[str, Any]:
    names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    return {"attention_type": "mla", **{name: getattr(spec, name) or 0 for name in names}}
