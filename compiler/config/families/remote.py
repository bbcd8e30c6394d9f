"""Families whose class comes with the checkpoint, read as engines read them: Nemotron's pruned models, ChatGLM, TeleChat2, Step3, Grok."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.config.families.decoder import tied
from compiler.config.families.feeds import frequency, shared
from compiler.config.families.mixers import FULL, SLIDING
from compiler.config.families.own_heads import listed_experts
from compiler.config.families.source import Source
from compiler.specs.limits import WIDTH


def pruned(source: Source) -> dict[str, Any]:
    """Llama whose layers differ, or lack a block, or have a product in its place (vLLM 0.33 models/nemotron_nas.py)."""
    count = source.layers()
    said = source.each("block_configs", dict, count) or [{}] * count
    hidden, heads = source.required("hidden_size"), source.required("num_attention_heads")
    blocks: dict[str, Any] = {"linear": {"kind": "projection", "width": hidden}}
    mixers, feeds = [], []
    for found in said:
        inner = source.within("block_configs", found)
        attention, feed = inner.within("attention"), inner.within("ffn")
        group = attention.size("n_heads_in_group") or 1
        word = f"attention_{group}"
        blocks[word] = {"kind": "attention", "kv_heads": max(1, heads // group)}
        mixers.append(_instead(attention) or word)
        width = _width(feed, hidden)
        blocks[f"dense_{width}"] = {"kind": "dense", "width": width}
        feeds.append(_instead(feed) or f"dense_{width}")
    used = {*mixers, *feeds}
    return {
        "layer_types": mixers,
        "mlp_layer_types": feeds,
        "intermediate_size": max((blocks[word]["width"] for word in feeds if word in blocks), default=0),
        "blocks": {word: block for word, block in blocks.items() if word in used},
    }


def _instead(inner: Source) -> str | None:
    if inner.flag("replace_with_linear"):
        return "linear"
    return "none" if inner.flag("no_op") else None


def _width(feed: Source, hidden: int) -> int:
    """Two thirds of a multiple of the hidden state, in steps of 256, where no width is said."""
    ratio = feed.number("ffn_mult")
    if ratio is None:
        return feed.size("intermediate_size") or 4 * hidden
    return min(WIDTH, -(-int(2 * ratio * hidden / 3) // 256) * 256)


def chatglm(source: Source) -> dict[str, Any]:
    bias = source.flag("add_bias_linear")
    grouped = source.flag("multi_query_attention")
    norm = "rms_norm_eps" if source.flag("rmsnorm", default=True) else "layer_norm_epsilon"
    return {
        "num_hidden_layers": source.layers("num_layers"),
        "hidden_size": source.required("hidden_size"),
        "num_attention_heads": source.required("num_attention_heads"),
        "intermediate_size": source.required("ffn_hidden_size"),
        "vocab_size": source.required("padded_vocab_size"),
        "num_key_value_heads": source.size("multi_query_group_num") if grouped else None,
        "head_dim": source.size("kv_channels"),
        "max_position_embeddings": source.positive("seq_length"),
        "partial_rotary_factor": 0.5,
        "qkv_bias": bias or source.flag("add_qkv_bias"),
        "mlp_bias": bias,
        "hidden_act": "silu",
        norm: source.number("layernorm_epsilon", 1e-5, most=0.1),
        "blocks": {FULL: {"output_bias": bias}},
        **tied(source),
    }


def telechat2(source: Source) -> dict[str, Any]:
    """Of each block the last product alone has a bias (vLLM 0.33 models/telechat2.py)."""
    hidden = source.required("hidden_size")
    return {
        "rms_norm_eps": source.number("layer_norm_epsilon", 1e-5, most=0.1),
        "blocks": {FULL: {"output_bias": True}, "dense": {"extra": hidden}},
    }


def step3(source: Source) -> dict[str, Any]:
    """Queries go up from a latent that all heads have together; one head of keys and values (vLLM 0.33 models/step3_text.py)."""
    count = source.layers()
    routed = listed_experts(source, count, first=4, last=count - 2)
    rank = {"query_rank": source.size("share_q_dim")}
    return {
        "num_key_value_heads": source.size("num_attention_groups") or 1,
        "num_experts": source.required("moe_num_experts"),
        "num_experts_per_tok": source.required("moe_top_k"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "moe_layer_freq": frequency(routed),
        "blocks": {FULL: rank},
        **shared(source.positive("share_expert_dim")),
    }


def grok(source: Source) -> dict[str, Any]:
    """Experts beside an MLP in Grok 2, alone before (SGLang 0.5.23 models/grok.py)."""
    beside, width = source.flag("residual_moe"), source.required("intermediate_size")
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.size("moe_intermediate_size") or width,
        "intermediate_size": width if beside else 0,
        "hidden_act": "gelu",
        "blocks": {"sparse": {"norms": 2}, "dense": {"norms": 0}},
        **({"mlp_layer_types": ["dense+sparse"] * source.layers()} if beside else {}),
    }


def mimo_pattern(source: Source) -> dict[str, Any]:
    """Published files mark layers with a window by a list of 0 and 1, and say their heads (vLLM 0.33 models/mimo_v2.py)."""
    count = source.layers()
    marks = source.each("hybrid_layer_pattern", int, count) if source.find("layer_types") is None else None
    names: Mapping[str, str] = {
        "heads": "swa_num_attention_heads",
        "head_dim": "swa_head_dim",
        "value_dim": "swa_v_head_dim",
    }
    near = {size: found for size, key in names.items() if (found := source.size(key)) is not None}
    types = {} if marks is None else {"layer_types": [SLIDING if mark else FULL for mark in marks]}
    return {**types, "blocks": {SLIDING: near}}
