"""Families whose attention has short convolutions beside it: Inkling and Zaya."""

from __future__ import annotations

from typing import Any

from compiler.config.families.feeds import shared
from compiler.config.families.mixers import FULL, SLIDING
from compiler.config.families.source import Source

NEAR = "hybrid_sliding"
"""What files call a layer with a window."""


def _windowed(source: Source, usual: list[bool]) -> list[bool]:
    said = source.each("layer_types", str, source.layers())
    for word in dict.fromkeys(word for word in said or () if word not in ("hybrid", NEAR)):
        source.note(f"has {word} in layer_types", f"write hybrid or {NEAR}")
    return [word == NEAR for word in said] if said else usual


def inkling(source: Source) -> dict[str, Any]:
    """Convolutions over keys, values and what each block adds; positions by a product; shared experts are chosen like others."""
    count, hidden, kernel = source.layers(), source.required("hidden_size"), source.integer("conv_kernel_size", 4, 1)
    places = source.places("local_layer_ids")
    near = _windowed(source, [i in places if places is not None else (i + 1) % 6 > 0 for i in range(count)])
    window = source.required("sliding_window_size")
    both = {
        "kind": "convolved",
        "kernel": kernel,
        "relative": source.integer("d_rel", 16),
        "inputs": 2 * hidden * kernel,
    }
    both["extra"] = kernel * hidden
    own = {name: source.size(f"swa_{key}") for name, key in HEADS.items()}
    close = {**both, **{name: found for name, found in own.items() if found}, "window": window, "extent": window}
    close |= {"value_dim": close["head_dim"]} if "head_dim" in close else {}
    kinds, dense = source.each("mlp_layer_types", str, count), source.integer("dense_mlp_idx", 0)
    feeds = kinds or ["dense" if i < dense else "sparse" for i in range(count)]
    experts, alone = source.size("dense_intermediate_size"), source.required("intermediate_size")
    width = alone if experts else source.required("moe_intermediate_size")
    many = source.integer("n_shared_experts", 2)
    return {
        "sliding_window": window,
        "intermediate_size": experts or alone,
        "layer_types": [SLIDING if slides else FULL for slides in near],
        "mlp_layer_types": ["dense" if word == "dense" else "sparse" for word in feeds],
        "use_qk_norm": True,
        "position_embedding_type": "none",
        "num_experts": source.required("n_routed_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": width,
        "scoring_func": "sigmoid",
        "routed_scaling_factor": source.number("route_scale", 1.0),
        "blocks": {
            FULL: {**both, "extent": source.integer("rel_extent", 1024)},
            SLIDING: close,
            "dense": {"extra": kernel * hidden},
            "sparse": {"extra": kernel * hidden + many * hidden + 1},
        },
        **shared(many * width),
    }


HEADS = {"heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "head_dim": "head_dim"}


def zaya(source: Source) -> dict[str, Any]:
    """Two convolutions over queries and keys, half of the values a token late, a router of several layers, and an expert that does
    nothing; what each block adds is scaled.
    """
    count, hidden, head = source.layers(), source.required("hidden_size"), source.required("head_dim")
    near, heads = _windowed(source, [False] * count), source.required("num_attention_heads")
    kv = source.required("num_key_value_heads")
    first, second = (source.integer(key, 2, 1) for key in ("cca_time0", "cca_time1"))
    channels = (heads + kv) * head
    weights = channels * (first + 1 + second * head + 1) + kv
    inputs = channels * (first + second - 2) + kv * head // 2
    experts, inner = source.required("num_experts"), source.required("router_hidden_size")
    router = hidden * inner + 2 * inner + 2 * (inner + 1) * inner + (experts + 1) * inner
    mixer = {"kind": "convolved", "inputs": inputs, "extra": weights + 4 * hidden}
    vocabulary = source.required("vocab_size") if source.flag("lm_head_bias") else 0
    return {
        "sliding_window": source.positive("sliding_window"),
        "layer_types": [SLIDING if slides else FULL for slides in near],
        "qkv_bias": source.flag("attention_bias"),
        "num_experts": experts,
        "zero_expert_num": 1,
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "intermediate_size": 0,
        "partial_rotary_factor": 0.5,
        "blocks": {
            FULL: mixer,
            SLIDING: {**mixer, "window": source.positive("sliding_window")},
            "sparse": {"extra": 4 * hidden + max(0, router - hidden * (experts + 1))},
        },
        "other_params": {
            "scales": float(2 * hidden),
            "router_states": float((count - 1) * inner),
            "head_bias": float(vocabulary),
        },
    }
