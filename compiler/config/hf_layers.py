"""Parts that read what a layer does beside its sizes: norms, activation, biases, positions and routing.

Defaults are those of the family's configuration class in transformers.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from compiler.config.hf_parts import Part, Source
from compiler.specs.rope import RopeScaling

SCORES = ("softmax", "sigmoid", "sqrtsoftplus")


def always(**found: Any) -> Part:
    """What a family's code does whatever its file says."""
    return lambda _: found


def layers(**defaults: Any) -> Part:
    """What every decoder of the Llama kind says of its layers; `defaults` are those of a family whose own differ."""
    epsilon, act = defaults.get("rms_norm_eps", 1e-6), defaults.get("hidden_act", "silu")

    def part(source: Source) -> dict[str, Any]:
        return {
            "hidden_act": source.word("hidden_act", act),
            "rms_norm_eps": source.number("rms_norm_eps", epsilon),
            "attention_dropout": source.number("attention_dropout", 0.0),
            "initializer_range": source.number("initializer_range", 0.02),
            "max_position_embeddings": source.positive("max_position_embeddings"),
            **_positions(source, defaults),
        }

    return part


def _positions(source: Source, defaults: dict[str, Any]) -> dict[str, Any]:
    """Transformers 5 writes all of it into `rope_parameters`; before, `rope_scaling` stood beside `rope_theta`."""
    scaling = source.mapping("rope_parameters", "rope_scaling")
    inner = Source(source.where, source.family, scaling, source.problems)
    outer = source.number("rope_theta", defaults.get("rope_theta", 10000.0))
    share = source.number("partial_rotary_factor", defaults.get("partial_rotary_factor", 1.0))
    return {
        "rope_theta": inner.number("rope_theta", outer),
        "partial_rotary_factor": inner.number("partial_rotary_factor", share),
        "rope_scaling": rope_scaling(inner, source.positive("max_position_embeddings")),
    }


def rope_scaling(source: Source, longest: int | None) -> RopeScaling:
    """YaRN counts from the model's own length where the file names no original one (modeling_rope_utils.py)."""
    kind = source.word("rope_type", source.word("type", "default"))
    if kind == "default":
        return RopeScaling()
    said: dict[str, Any] = {
        item.name: source.number(item.name) for item in fields(RopeScaling) if "float" in str(item.type)
    }
    found = RopeScaling(
        rope_type=kind,
        original_max_position_embeddings=source.positive("original_max_position_embeddings") or longest,
        truncate=source.flag("truncate", default=True),
    )
    return replace(found, **{name: value for name, value in said.items() if value is not None})


def gpt2_layers(source: Source) -> dict[str, Any]:
    return {
        "hidden_act": source.word("activation_function", "gelu_new"),
        "layer_norm_epsilon": source.number("layer_norm_epsilon", 1e-5),
        "attention_dropout": source.number("attn_pdrop", 0.1),
        "hidden_dropout": source.number("resid_pdrop", 0.1),
        "initializer_range": source.number("initializer_range", 0.02),
        "position_embedding_type": "absolute",
        "max_position_embeddings": source.integer("n_positions", 1024, minimum=1),
        "attention_bias": True,
        "mlp_bias": True,
    }


def biases(source: Source) -> dict[str, Any]:
    """Of all of attention, and of MLPs, each by a key of its own."""
    return {key: source.flag(key, default=False) for key in ("attention_bias", "mlp_bias")}


def glm_attention(source: Source) -> dict[str, Any]:
    """`attention_bias` leaves the output projection out."""
    return {
        "qkv_bias": source.flag("attention_bias", default=False),
        "use_qk_norm": source.flag("use_qk_norm", default=False),
    }


def minimax_attention(source: Source) -> dict[str, Any]:
    """`rotary_dim` counts elements of a head; norms go over all heads of a token."""
    width, head = source.positive("rotary_dim"), source.positive("head_dim")
    return {
        "use_qk_norm": source.flag("use_qk_norm", default=True),
        "qk_norm_type": source.word("qk_norm_type", "per_layer", ("per_layer", "per_head")),
        "partial_rotary_factor": width / head if width and head else 1.0,
    }


def gpt_oss_layers(source: Source) -> dict[str, Any]:
    """Sinks, biases everywhere, and an activation of its own, whatever `hidden_act` says."""
    return {
        "attention_sinks": True,
        "attention_bias": source.flag("attention_bias", default=True),
        "mlp_bias": True,
        "hidden_act": "swigluoai",
        "swiglu_limit": source.number("swiglu_limit", 7.0),
    }


def llama4_layers(source: Source) -> dict[str, Any]:
    """Norms without weights, and layers without rotation, every fourth where the file does not list them."""
    count = source.layers()
    return {
        "use_qk_norm": source.flag("use_qk_norm", default=True),
        "qk_norm_type": "l2",
        "no_rope_layers": source.entries("no_rope_layers", int) or [int((i + 1) % 4 > 0) for i in range(count)],
        "attention_chunk_size": source.positive("attention_chunk_size"),
    }


def softmax_router(source: Source) -> dict[str, Any]:
    """Mixtral and GPT-OSS: scores of the chosen experts add up to 1."""
    return {
        "router_aux_loss_coef": source.number("router_aux_loss_coef", 0.0),
        "router_jitter_noise": source.number("router_jitter_noise", 0.0),
    }


def qwen_router(source: Source) -> dict[str, Any]:
    return {**softmax_router(source), "norm_topk_prob": source.flag("norm_topk_prob", default=False)}


def qwen2_router(source: Source) -> dict[str, Any]:
    """The shared expert has a gate of its own."""
    return {**qwen_router(source), "shared_expert_gate": True}


def deepseek_router(**defaults: Any) -> Part:
    """From V3 on experts are chosen by sigmoid scores with a bias; `topk_method` says so where it is written."""
    score, normed, factor = (
        defaults.get("scoring_func", "sigmoid"),
        defaults.get("norm_topk_prob", True),
        defaults.get("factor", 1.0),
    )

    def part(source: Source) -> dict[str, Any]:
        found = source.word("scoring_func", score, SCORES)
        method = source.word("topk_method", "greedy" if found == "softmax" else "noaux_tc")
        return {
            "scoring_func": found,
            "norm_topk_prob": source.flag("norm_topk_prob", default=normed),
            "routed_scaling_factor": source.number("routed_scaling_factor", factor),
            "use_routing_bias": method == "noaux_tc",
            "router_aux_loss_coef": source.number("aux_loss_alpha", 0.0),
            "seq_aux": source.flag("seq_aux", default=False),
        }

    return part


def minimax_router(source: Source) -> dict[str, Any]:
    return {
        "scoring_func": source.word("scoring_func", "sigmoid", SCORES),
        "use_routing_bias": source.flag("use_routing_bias", default=True),
        "router_aux_loss_coef": source.number("router_aux_loss_coef", 0.0),
    }


def llama4_router(source: Source) -> dict[str, Any]:
    """Sigmoid scores multiply what goes into an expert."""
    return {"scoring_func": "sigmoid", "norm_topk_prob": False, "scale_expert_inputs": True, **softmax_router(source)}


def sparse_attention(source: Source) -> dict[str, Any]:
    return {"index_topk": source.positive("index_topk"), "index_head_dim": source.positive("index_head_dim") or 128}
