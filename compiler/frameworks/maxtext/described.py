"""What a model's layers do beside their sizes, in MaxText's keys.

`framework.args` may say otherwise. Kernels are those of MaxText's own GPU configurations (configs/gpu/models).
"""

from __future__ import annotations

from typing import Any

from compiler.frameworks.maxtext.blocks import decoder_block
from compiler.specs.config import Config
from compiler.specs.model import Model

ACTIVATIONS = {
    "silu": ["silu", "linear"],
    "swigluoai": ["sigmoid", "linear"],
    "gelu": ["gelu"],
    "gelu_new": ["gelu"],
    "gelu_pytorch_tanh": ["gelu"],
    "relu": ["relu"],
}
ROPE_TYPES = {"default": "default", "linear": "default", "llama3": "llama3.1", "yarn": "yarn"}
ROUTED_AS = "deepseek3-671b"
"""Groups of experts, and scores apart from the bias that chooses by them, are routed so for models of this name alone
(layers/moe.py get_topk), whose file our own keys then take the place of.
"""


def settings(config: Config) -> dict[str, Any]:
    model = config.model
    return {
        "mlp_activations": activations(model),
        **({"mlp_activations_limit": model.swiglu_limit} if model.activation == "swigluoai" else {}),
        "normalization_layer_epsilon": model.norm_epsilon,
        "enable_dropout": model.hidden_dropout > 0,
        **({"dropout_rate": model.hidden_dropout} if model.hidden_dropout else {}),
        **({"normalize_embedding_logits": False} if model.tie_word_embeddings else {}),
        **_attention(model),
        **_positions(model),
        **(_routing(model) if model.moe else {}),
        **kernels(config),
    }


def activations(model: Model) -> list[str]:
    usual = ["silu", "linear"] if model.gated_mlp else ["gelu"]
    found = ACTIVATIONS.get(model.activation, usual)
    return found if (len(found) == 2) == model.gated_mlp else usual


def kernels(config: Config) -> dict[str, Any]:
    """On GPUs: cuDNN's attention in training, which counts documents of a packed sequence and with cp takes none, and no kernel
    for TPUs in experts.
    """
    found: dict[str, Any] = {"megablox": False} if config.model.moe else {}
    if config.workload.train and config.workload.fused_attention:
        found["attention"] = "cudnn_flash_te"
        found |= {"packing": False} if config.degrees.cp > 1 else {"max_segments_per_seq": 32}
    return found


def _attention(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {"use_qk_norm": True} if model.use_qk_norm else {}
    if model.qkv_bias or model.attention_bias:
        found["attention_bias"] = True
    if model.attention_sinks:
        found["attention_sink"] = True
    if model.attention_chunk_size:
        found["chunk_attn_window_size"] = model.attention_chunk_size
    return found


def _positions(model: Model) -> dict[str, Any]:
    scaling = model.rope_scaling
    if model.position_embedding_type == "absolute":
        return {"trainable_position_size": model.max_position_embeddings or -1}
    found: dict[str, Any] = {
        "rope_max_timescale": round(model.rope_theta),
        "rope_type": ROPE_TYPES.get(scaling.rope_type, "default"),
    }
    if scaling.rope_type == "linear":
        found["rope_linear_scaling_factor"] = scaling.factor
    if scaling.rope_type == "yarn":
        found |= {
            "rope_factor": round(scaling.factor),
            "original_max_position_embeddings": scaling.original_max_position_embeddings or 4096,
            "max_position_embeddings": model.max_position_embeddings or 4096,
            "beta_fast": round(scaling.beta_fast),
            "beta_slow": round(scaling.beta_slow),
            **({"mscale": scaling.mscale_all_dim or 0.0} if model.mla else {}),
            "rope_interleave": model.mla,
            "rope_truncate": scaling.truncate,
            "rope_attention_scaling": not model.mla,
        }
    if model.no_rope_layers is not None and 0 in model.no_rope_layers:
        found["nope_layer_interval"] = model.no_rope_layers.index(0) + 1
    return found


def _routing(model: Model) -> dict[str, Any]:
    """Blocks but DeepSeek's take a softmax over the chosen experts, which adds up to 1 by itself."""
    found: dict[str, Any] = {"float32_gate_logits": True}
    if model.router_aux_loss_coef:
        found["load_balance_loss_weight"] = model.router_aux_loss_coef
    if decoder_block(model) == "qwen3_moe":
        found["norm_topk_prob"] = model.norm_topk_prob
    if model.mlp_bias:
        found |= {"mlp_bias": True, "routed_bias": True}
    if decoder_block(model) == "deepseek":
        found |= {"routed_score_func": model.scoring_func, "routed_scaling_factor": model.routed_scaling_factor}
        if model.use_routing_bias:
            found |= {"model_name": ROUTED_AS, "override_model_config": True}
            found |= {"routed_bias": True, "routed_bias_update_rate": 0.001}
    return found
