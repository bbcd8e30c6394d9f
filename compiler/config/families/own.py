"""Parts of single families without experts, whose files, or layers, are like no other's."""

from __future__ import annotations

from typing import Any

from compiler.config.families.mixers import FULL, SLIDING, words
from compiler.config.families.source import Source


def falcon(source: Source) -> dict[str, Any]:
    """One or a few heads of keys; attention and MLP side by side share a norm, unless the newer architecture gives each its own."""
    newer, alone = source.flag("new_decoder_architecture"), source.flag("multi_query", default=True)
    heads, hidden = source.required("num_attention_heads"), source.required("hidden_size")
    beside = source.flag("parallel_attn", default=True)
    two = not beside or (source.size("num_ln_in_parallel_attn") or (2 if newer else 1)) == 2
    bias = source.flag("bias")
    return {
        "num_key_value_heads": (source.size("num_kv_heads") or heads) if newer else 1 if alone else heads,
        "intermediate_size": source.size("ffn_hidden_size") or 4 * hidden,
        "gated_mlp": False,
        "attention_bias": bias,
        "mlp_bias": bias,
        "hidden_act": source.word("activation", "gelu"),
        "position_embedding_type": "none" if source.flag("alibi") else "rope",
        "blocks": {"dense": {"norms": int(two)}},
    }


def mpt(source: Source) -> dict[str, Any]:
    inner = source.inside("attn_config")
    return {
        "intermediate_size": (source.size("expansion_ratio") or 4) * source.required("hidden_size"),
        "num_key_value_heads": inner.size("kv_n_heads") or source.required("num_attention_heads"),
        "position_embedding_type": "none",
        "hidden_act": "gelu",
    }


def opt(source: Source) -> dict[str, Any]:
    """Embeddings may be narrower than hidden states, in the smallest model alone."""
    narrow, hidden = source.size("word_embed_proj_dim"), source.required("hidden_size")
    if narrow not in (None, hidden):
        source.note(
            f"has word_embed_proj_dim={narrow}, not the hidden_size",
            "take a model whose embedding is as wide as its layers",
        )
    bias = source.flag("enable_bias", default=True)
    return {"attention_bias": bias, "mlp_bias": bias, "hidden_act": source.word("activation_function", "relu")}


def wide_mlp(source: Source) -> dict[str, Any]:
    """Four times the hidden state where the file does not say."""
    return {"intermediate_size": source.size("intermediate_size") or 4 * source.required("hidden_size")}


def gpt_neo(source: Source) -> dict[str, Any]:
    """Local and global attention in turns; of attention's projections the last alone has a bias."""
    said = words(source, "attention_layers", (FULL, SLIDING))
    types = said or [SLIDING if i % 2 else FULL for i in range(source.layers())]
    return {
        "sliding_window": source.positive("window_size"),
        "layer_types": types,
        "mlp_bias": True,
        "blocks": {FULL: {"output_bias": True}},
        "hidden_act": source.word("activation_function", "gelu_new"),
    }


def stablelm(source: Source) -> dict[str, Any]:
    side = source.flag("use_parallel_residual")
    return {
        "qkv_bias": source.flag("use_qkv_bias"),
        "blocks": {
            FULL: {"qk_norm": "every_head" if source.flag("qk_layernorm") else "none"},
            "dense": {"norms": 0 if side else 1},
        },
    }


def phi(source: Source) -> dict[str, Any]:
    """Attention and MLP side by side behind one norm; biases everywhere, also of the head."""
    head = source.size("head_dim") or source.required("hidden_size") // source.required("num_attention_heads")
    extra = 4 * head if source.flag("qk_layernorm") else 0
    return {"attention_bias": True, "mlp_bias": True, "blocks": {FULL: {"extra": extra}, "dense": {"norms": 0}}}


def persimmon(source: Source) -> dict[str, Any]:
    head = source.required("hidden_size") // source.required("num_attention_heads")
    extra = 4 * head if source.flag("qk_layernorm", default=True) else 0
    return {"attention_bias": True, "mlp_bias": True, "blocks": {FULL: {"extra": extra}}}


def alone(source: Source) -> dict[str, Any]:
    """One head of keys and values, where `multi_query` says so."""
    return {"num_key_value_heads": 1} if source.flag("multi_query", default=True) else {}


def post_norms(source: Source) -> dict[str, Any]:
    count = 2 if source.flag("use_post_norm") else 1
    return {"blocks": {word: {"norms": count} for word in (FULL, "dense")}}


def qwen1(source: Source) -> dict[str, Any]:
    """Qwen's first file counts gate and up together, and has biases of queries, keys and values unless `no_bias` is about them."""
    return {
        "intermediate_size": source.required("intermediate_size") // 2,
        "qkv_bias": True,
        "num_key_value_heads": None,
    }


def output_bias(source: Source) -> dict[str, Any]:
    return {"blocks": {FULL: {"output_bias": source.flag("attention_out_bias")}}}


def smollm3(source: Source) -> dict[str, Any]:
    """Layers without rotation have a window, where `use_sliding_window` says so."""
    count, step = source.layers(), source.integer("no_rope_layer_interval", 4, minimum=1)
    ropes = source.entries("no_rope_layers", int) or [int((i + 1) % step != 0) for i in range(count)]
    size = source.positive("sliding_window") if source.flag("use_sliding_window") else None
    types = [FULL if rope else SLIDING for rope in ropes[:count]]
    return {"no_rope_layers": ropes, **({"sliding_window": size, "layer_types": types} if size else {})}


def never(_i: int, _n: int) -> bool:
    return False


def lfm3(source: Source) -> dict[str, Any]:
    """Norms after each block too, and a gate a head, where the file says so."""
    count = 2 if source.flag("use_sandwich_norm") else 1
    gate = {"gate": "heads" if source.flag("use_attention_gate") else "none"}
    blocks = {FULL: {"norms": count, **gate}, "conv": {"norms": count}, "dense": {"norms": count}}
    turns = {2: FULL, 0: SLIDING}
    usual = [turns.get(i % 4, "conv") if i else "conv" for i in range(source.layers())]
    types = {} if source.find("layer_types") else {"layer_types": usual}
    return {"sliding_window": source.positive("sliding_window"), "blocks": blocks, **types}


def diffllama(source: Source) -> dict[str, Any]:
    """Differential attention: four vectors of a head's width weigh two softmaxes against each other."""
    head = source.size("head_dim") or source.required("hidden_size") // source.required("num_attention_heads")
    return {"blocks": {FULL: {"extra": 4 * head}}}


def molmo2(source: Source) -> dict[str, Any]:
    """Words beside the vocabulary that the head does not have."""
    rows = source.integer("additional_vocab_size", 0)
    kinds = {"qwen3": "per_head", "olmo": "per_layer"}
    return {
        "qkv_bias": source.flag("attention_bias"),
        "use_qk_norm": True,
        "qk_norm_type": kinds[source.word("qk_norm_type", "qwen3", (*kinds,))],
        "other_params": {"more_words": float(rows * source.required("hidden_size"))},
    }
