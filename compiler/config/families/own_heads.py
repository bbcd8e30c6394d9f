"""Parts of families with experts whose heads, or what they meet, differ by layer: MiniMax, MiMo-V2, Laguna."""

from __future__ import annotations

import re
from typing import Any

from compiler.config.families.feeds import frequency, shared
from compiler.config.families.mixers import FULL, SLIDING, words
from compiler.config.families.source import Source
from compiler.errors import short
from compiler.specs.limits import LAYERS


def minimax_attention(source: Source) -> dict[str, Any]:
    """`rotary_dim` counts elements of a head; norms go over all heads of a token."""
    width, head = source.size("rotary_dim"), source.size("head_dim")
    return {
        "use_qk_norm": source.flag("use_qk_norm", default=True),
        "qk_norm_type": source.word("qk_norm_type", "per_layer", ("per_layer", "per_head")),
        "partial_rotary_factor": width / head if width and head else 1.0,
    }


def minimax_m3(source: Source) -> dict[str, Any]:
    """Attention to chosen blocks of keys, where `layer_types` or `sparse_attention_config` says so; dense layers are wider."""
    inner, count = source.inside("sparse_attention_config"), source.layers()
    names = (
        ("index_heads", "index_n_heads", "sparse_num_index_heads"),
        ("index_dim", "index_head_dim", "sparse_index_dim"),
    )
    found: dict[str, Any] = {key: inner.size(old) or source.size(new) for key, new, old in names}
    size = inner.size("sparse_block_size") or source.size("index_block_size") or 128
    found["index_topk"] = size * (inner.size("sparse_topk_blocks") or source.size("index_topk_blocks") or 16)
    known = (FULL, "minimax_m3_sparse")
    types, freq = words(source, "layer_types", known), inner.each("sparse_attention_freq", int, count)
    if types is None and freq:
        types = [known[bool(mark)] for mark in freq]
    if types is None and inner.flag("use_sparse_attention"):
        types = [known[1]] * count
    return {
        "layer_types": types,
        "intermediate_size": source.positive("dense_intermediate_size") or 0,
        "use_qk_norm": source.flag("use_qk_norm", default=True),
        "scoring_func": "sigmoid",
        "use_routing_bias": True,
        "blocks": {known[1]: {"kind": "attention", **found}} if types and known[1] in types else {},
    }


def minimax_m3_experts(source: Source) -> dict[str, Any]:
    listed = isinstance(source.data.get("moe_layer_freq"), list)
    marks = source.each("moe_layer_freq", int, source.layers()) if listed else None
    types = source.each("mlp_layer_types", str, source.layers())
    dense = source.integer("first_k_dense_replace", 0, most=LAYERS)
    routed = marks or (types and [word == "sparse" for word in types]) or [i >= dense for i in range(source.layers())]
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "moe_layer_freq": frequency([bool(mark) for mark in routed[: source.layers()]]),
        **shared(source.positive("shared_intermediate_size")),
    }


def mimo_v2(source: Source) -> dict[str, Any]:
    """Layers with a window have twice the heads of keys, and sinks."""
    kv, value = source.size("num_key_value_heads") or 1, source.required("v_head_dim")
    heads = source.size("swa_num_key_value_heads")
    sliding: dict[str, Any] = {"kv_heads": heads or 2 * kv, "sinks": True}
    return {"v_head_dim": value, "blocks": {FULL: {"value_dim": value, "sinks": False}, SLIDING: sliding}}


def laguna(source: Source) -> dict[str, Any]:
    """Heads may differ by layer, and with them what their output is gated by."""
    count, listed = source.layers(), source.entries("num_attention_heads_per_layer", int)
    how = source.find("gating")
    gate = "heads" if how is True or how == "per-head" else "elements"
    types = words(source, "layer_types", (FULL, SLIDING)) or [FULL] * count
    found: dict[str, Any] = {FULL: {"gate": gate}}
    if listed and len(listed) >= count and len(set(listed[:count])) > 1:
        for heads, word in dict.fromkeys(zip(listed, types, strict=False)):
            window = source.positive("sliding_window") if word == SLIDING else None
            found[f"{word}_{heads}"] = {"kind": "attention", "heads": heads, "window": window, "gate": gate}
        types = [f"{word}_{heads}" for heads, word in zip(listed, types, strict=False)]
    return {"layer_types": types, "sliding_window": source.positive("sliding_window"), "blocks": found}


def listed_experts(source: Source, count: int, first: int, last: int) -> list[bool]:
    """Layers with experts by `mlp_layer_types`, or by numbers in `moe_layers_enum`, a list or a text; else those from `first` to `last`."""
    marks, said = source.each("mlp_layer_types", str, count), source.find("moe_layers_enum")
    if marks:
        return [word == "sparse" for word in marks]
    if isinstance(said, str):
        found = re.fullmatch(r"[\d, ]*", said)
        if found is None or len(said) > LONGEST:
            source.note(f"has moe_layers_enum={short(repr(said))}", "write numbers of layers between commas")
            return [False] * count
        return [i in {*map(int, re.findall(r"\d{1,4}", said))} for i in range(count)]
    places = source.places("moe_layers_enum")
    return [i in places if places is not None else first <= i <= last for i in range(count)]


LONGEST = 8 * LAYERS
"""Characters of a text with numbers of layers."""


def step3p5(source: Source) -> dict[str, Any]:
    """Layers with a window have more heads, and each head a gate. Published files list layers with experts as a text, and say the
    other heads within `attention_other_setting`.
    """
    count = source.layers()
    types = words(source, "layer_types", (FULL, SLIDING)) or [FULL] * count
    heads = source.positive("num_sliding_attention_heads") or source.within("attention_other_setting").size(
        "num_attention_heads"
    )
    both = {"gate": "heads"}
    return {
        "sliding_window": source.positive("sliding_window"),
        "layer_types": types,
        "num_experts": source.required("n_routed_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "moe_layer_freq": frequency(listed_experts(source, count, first=3, last=count)),
        "num_nextn_predict_layers": source.integer("num_nextn_predict_layers", 0),
        "scoring_func": "sigmoid",
        "routed_scaling_factor": source.number("moe_router_scaling_factor", 1.0),
        "blocks": {FULL: both, SLIDING: {**both, **({"heads": heads} if heads else {})}},
        **shared(source.positive("share_expert_dim")),
    }
