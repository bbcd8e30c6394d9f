"""A model in MaxText's keys (base.yml), and the decoder block that comes nearest to it."""

from __future__ import annotations

from typing import Any

from compiler.specs.config import Config
from compiler.specs.model import Model

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16"}
"""`dtype`, of activations; fp8 is `quantization` on top."""


def settings(config: Config) -> dict[str, Any]:
    """Sizes and shape of the model. What no key says (norms, position embeddings) is MaxText's default."""
    spec, precision = config.model, config.workload.precision
    return {
        "decoder_block": decoder_block(spec),
        "base_num_decoder_layers": spec.num_hidden_layers,
        "base_emb_dim": spec.hidden_size,
        "base_num_query_heads": spec.num_attention_heads,
        "base_num_kv_heads": spec.kv_heads,
        "head_dim": spec.head_size,
        "base_mlp_dim": spec.expert_size if fully_moe(spec) else spec.intermediate_size,
        "mlp_activations": ["silu", "linear"] if spec.gated_mlp else ["gelu"],
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


def decoder_block(spec: Model) -> str:
    """Latent attention, shared experts and leading dense layers are those of DeepSeek's block alone."""
    if spec.mla or spec.shared_size or spec.first_k_dense_replace:
        return "deepseek"
    if spec.moe:
        return "gpt_oss" if spec.sliding_window else "mixtral"
    return "llama2"


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
    return found


def _latent(spec: Model) -> dict[str, Any]:
    names = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    return {"attention_type": "mla", **{name: getattr(spec, name) or 0 for name in names}}
