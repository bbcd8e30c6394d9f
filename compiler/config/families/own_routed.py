"""Parts of single families with experts, whose files, or layers, are like no other's."""

from __future__ import annotations

from typing import Any

from compiler.config.families.feeds import frequency, shared
from compiler.config.families.mixers import FULL, SLIDING, words
from compiler.config.families.source import Source
from compiler.specs.limits import EXPERTS


def gpt_oss(source: Source) -> dict[str, Any]:
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
    }


def dbrx(source: Source) -> dict[str, Any]:
    """Sizes of attention and of experts stand in mappings of their own."""
    attention, feed = source.inside("attn_config"), source.inside("ffn_config")
    return {
        "num_key_value_heads": attention.size("kv_n_heads") or 1,
        "rope_theta": attention.number("rope_theta", 10000.0, most=1e15),
        "intermediate_size": 0,
        "moe_intermediate_size": feed.size("ffn_hidden_size") or 3584,
        "num_experts": feed.size("moe_num_experts") or 4,
        "num_experts_per_tok": feed.size("moe_top_k") or 1,
        "router_jitter_noise": feed.number("moe_jitter_eps", 0.0) or 0.0,
    }


def phimoe(source: Source) -> dict[str, Any]:
    vocabulary = source.required("vocab_size") if source.flag("lm_head_bias") else 0
    return {"attention_bias": source.flag("attention_bias"), "other_params": {"head_bias": float(vocabulary)}}


def hunyuan(source: Source) -> dict[str, Any]:
    """Experts a token, and shared ones, may be listed by layer."""
    width = source.first("moe_intermediate_size", source.required("intermediate_size"))
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.first("num_experts_per_tok", 1, EXPERTS),
        "moe_intermediate_size": width,
        "intermediate_size": 0,
        **shared(width * source.first("num_shared_expert", 1, EXPERTS)),
    }


def ernie(source: Source) -> dict[str, Any]:
    """Experts from `moe_layer_start_index` to `moe_layer_end_index`, every so many layers."""
    count, step = source.layers(), source.integer("moe_layer_interval", 1, minimum=1)
    first, last = source.integer("moe_layer_start_index", 0), source.find("moe_layer_end_index")
    end = count - 1 if not isinstance(last, int) or last < 0 else last
    routed = [(i + 1) % step == 0 and first <= i <= end for i in range(count)]
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "num_shared_experts": source.integer("moe_num_shared_experts", 0),
        "moe_layer_freq": frequency(routed),
        "blocks": {"sparse": {"extra": source.required("num_experts")}},
    }


def longcat(source: Source) -> dict[str, Any]:
    """Each layer is two of attention and an MLP, and experts beside the second; some experts do nothing."""
    count = source.layers("num_layers")
    return {
        "num_hidden_layers": count,
        "num_experts": source.required("n_routed_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "zero_expert_num": source.integer("zero_expert_num", 0),
        "layer_types": [f"{FULL}+{FULL}"] * count,
        "mlp_layer_types": ["dense+dense+sparse"] * count,
        "blocks": {"sparse": {"norms": 0}},
    }


def afmoe_router(source: Source) -> dict[str, Any]:
    """One bias an expert, which is a parameter."""
    return {
        "scoring_func": "sigmoid",
        "routed_scaling_factor": source.number("route_scale", 1.0),
        "blocks": {"sparse": {"norms": 2, "extra": source.required("num_experts")}},
    }


def bailing_attention(source: Source) -> dict[str, Any]:
    bias = source.flag("use_bias")
    return {
        "qkv_bias": source.flag("use_qkv_bias"),
        "use_qk_norm": source.flag("use_qk_norm"),
        "blocks": {FULL: {"output_bias": bias}},
    }


def beam(source: Source) -> dict[str, Any]:
    """A bias of the gate a head; windows but on every sixth layer and the last."""
    count = source.layers()
    types = words(source, "layer_types", (FULL, SLIDING))
    types = types or [FULL if (i + 1) % 6 == 0 or i == count - 1 else SLIDING for i in range(count)]
    extra = source.required("num_attention_heads")
    return {
        "sliding_window": source.positive("sliding_window"),
        "layer_types": types,
        "blocks": {FULL: {"extra": extra}},
    }


def cohere2_moe(source: Source) -> dict[str, Any]:
    """The first layers may be dense, of a width of their own."""
    width = source.size("prefix_dense_intermediate_size") or source.required("intermediate_size")
    return {"intermediate_size": width}


def late(_i: int, _n: int) -> bool:
    return True


def sixth(i: int, _n: int) -> bool:
    return i == 0 or (i + 1) % 6 == 0


def flint_full(i: int, n: int) -> bool:
    return i < 2 or i % 4 == 1 or i == n - 1


def flint_experts(source: Source) -> dict[str, Any]:
    """The first two layers are dense where the file does not say."""
    return (
        {}
        if source.find("mlp_only_layers") is not None
        else {"moe_layer_freq": frequency([i > 1 for i in range(source.layers())])}
    )


def flat_experts(source: Source) -> dict[str, Any]:
    """Every layer routes to experts of `intermediate_size`."""
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": 0,
    }


def plain_experts(source: Source) -> dict[str, Any]:
    """Every layer routes, beside one shared expert."""
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "intermediate_size": 0,
        **shared(source.positive("shared_expert_intermediate_size")),
    }


def predicted(source: Source) -> dict[str, Any]:
    """Qwen's name of multi-token-prediction layers."""
    return {"num_nextn_predict_layers": source.integer("mtp_num_hidden_layers", 0)}


def hy_router(source: Source) -> dict[str, Any]:
    return {
        "scoring_func": "sigmoid",
        "use_routing_bias": True,
        "routed_scaling_factor": source.number("router_scaling_factor", 1.0),
    }


def lfm2_router(source: Source) -> dict[str, Any]:
    return {"scoring_func": "sigmoid", "use_routing_bias": source.flag("use_expert_bias", default=True)}


def qkv_flag(source: Source) -> dict[str, Any]:
    return {"qkv_bias": source.flag("qkv_bias", default=True)}


def muse_spark(source: Source) -> dict[str, Any]:
    """Experts work in a latent between two norms; what each block adds goes through a gate an element."""
    latent, hidden = source.positive("moe_hidden_size"), source.required("hidden_size")
    gated = {"norms": 2, "extra": hidden}
    return {
        "moe_latent_size": latent,
        "scoring_func": "sigmoid",
        "routed_scaling_factor": source.number("routed_scaling_factor", 1.0),
        "blocks": {
            FULL: {"extra": hidden},
            "dense": gated,
            "sparse": {**gated, "extra": hidden + 2 * (latent or 0)},
        },
    }


def ernie_vision(source: Source) -> dict[str, Any]:
    """Experts of their own for parts of images, which text never meets: counted with the towers."""
    widths = source.entries("moe_intermediate_size", int) or [1536, 512]
    count, experts = source.layers(), source.required("num_experts")
    marks = source.each("mlp_layer_types", str, count)
    routed = [word == "sparse" for word in marks] if marks else [i > 0 for i in range(count)]
    text, seen = widths[0], widths[-1] if len(widths) > 1 else 0
    of_images = experts * (3 * source.required("hidden_size") * seen + source.required("hidden_size") + 1)
    return {
        "num_experts": experts,
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": max(1, text),
        "moe_layer_freq": frequency(routed),
        "blocks": {"sparse": {"extra": experts}},
        "towers": {"vision_experts": float(sum(routed) * of_images)},
        **shared(source.integer("moe_num_shared_experts", 0) * max(1, text)),
    }
