"""Gemma 3n and 4: an input a layer, keys that later layers share, heads that differ by kind of attention, experts beside an MLP."""

from __future__ import annotations

from typing import Any

from compiler.config.families.mixers import FULL, SLIDING, every, words
from compiler.config.families.source import Source


def _types(source: Source, period: int) -> list[str]:
    count = source.layers()
    found = words(source, "layer_types", (FULL, SLIDING))
    return found or [FULL if every(period)(i, count) else SLIDING for i in range(count)]


def _inputs(source: Source) -> tuple[int, dict[str, float]]:
    """Weights of a layer that join its own input, and the tables of those beside the layers."""
    hidden, count = source.required("hidden_size"), source.layers()
    size, vocabulary = source.positive("hidden_size_per_layer_input"), source.positive("vocab_size_per_layer_input")
    if size is None:
        return 0, {}
    table = (vocabulary or source.required("vocab_size")) * size * count
    return 2 * hidden * size + hidden, {"layer_inputs": float(table + hidden * size * count + size)}


def _reusing(source: Source, types: list[str]) -> list[str]:
    """The last layers take keys and values from one before them."""
    first = len(types) - source.integer("num_kv_shared_layers", 0)
    return [word if i < first else f"shared_{word}" for i, word in enumerate(types)]


def _reused(full: dict[str, Any], sliding: dict[str, Any]) -> dict[str, Any]:
    """What the words of such layers stand for."""
    return {
        f"shared_{FULL}": {"kind": "attention", **full, "keys": "shared"},
        f"shared_{SLIDING}": {"kind": "attention", **sliding, "keys": "shared"},
    }


def gemma3n(source: Source) -> dict[str, Any]:
    """Several streams of hidden states (AltUp) and a detour of low rank (LAuReL) beside attention."""
    hidden, streams = source.required("hidden_size"), source.integer("altup_num_inputs", 4)
    rank, types = source.integer("laurel_rank", 64), _types(source, 5)
    inputs, tables = _inputs(source)
    altup = 2 * hidden + streams**2 + streams**3 + streams * hidden
    width, window = source.first("intermediate_size", 1), source.positive("sliding_window")
    norms = {"norms": 2}
    said = {**norms, "extra": altup + 2 * rank * hidden + hidden + inputs}
    tables["streams"] = float(2 * (streams - 1) * hidden**2)
    return {
        "intermediate_size": width,
        "sliding_window": window,
        "layer_types": _reusing(source, types),
        "use_qk_norm": True,
        "other_params": tables,
        "blocks": {FULL: said, "dense": norms, **_reused(said, {**said, "window": window})},
    }


def gemma4(source: Source) -> dict[str, Any]:
    """Layers that see all tokens have larger heads, and keys that are values too where `attention_k_eq_v` says so."""
    types, window, head = _types(source, 6), source.positive("sliding_window"), source.size("head_dim") or 256
    types[-1] = FULL
    inputs, tables = _inputs(source)
    tied, own = source.flag("attention_k_eq_v"), source.size("num_global_key_value_heads")
    size = source.size("global_head_dim") or 512
    kv = own if tied and own else source.size("num_key_value_heads") or 1
    both = {"norms": 2, "extra": inputs}
    full = {**both, "head_dim": size, "value_dim": size, "kv_heads": kv}
    near = {
        **both,
        "head_dim": head,
        "value_dim": head,
        "kv_heads": source.size("num_key_value_heads") or 1,
        "window": window,
    }
    found: dict[str, Any] = {
        "sliding_window": window,
        "layer_types": _reusing(source, types),
        "use_qk_norm": True,
        "other_params": tables,
        "blocks": {
            FULL: {**full, "keys": "tied" if tied else "own"},
            SLIDING: {**near, "keys": "own"},
            "dense": {"norms": 2},
            **_reused(full, near),
        },
    }
    return {**found, **_feeds(source, found["layer_types"], found["blocks"])}


def _feeds(source: Source, types: list[str], blocks: dict[str, Any]) -> dict[str, Any]:
    """Experts beside the MLP, whose router scales what it reads; and MLPs of twice the width where keys are shared."""
    width, word = source.required("intermediate_size"), {False: "dense", True: "dense"}
    if source.flag("use_double_wide_mlp"):
        blocks["wide"] = {"kind": "dense", "width": 2 * width, "norms": 2}
        word[True] = "wide"
    routed = source.flag("enable_moe_block")
    more = "+sparse" if routed else ""
    found: dict[str, Any] = {"mlp_layer_types": [word[name.startswith("shared")] + more for name in types]}
    if routed:
        experts, hidden = source.required("num_experts"), source.required("hidden_size")
        blocks["sparse"] = {"norms": 3, "extra": experts + hidden}
        found |= {
            "num_experts": experts,
            "num_experts_per_tok": source.required("top_k_experts"),
            "moe_intermediate_size": source.required("moe_intermediate_size"),
        }
    return found
