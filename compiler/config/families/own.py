"""Parts of single families whose files, or layers, are like no other's."""

from __future__ import annotations

from typing import Any

from compiler.config.families.feeds import frequency, shared
from compiler.config.families.mixers import FULL, SLIDING, words
from compiler.config.families.source import Source


def gpt_oss(source: Source) -> dict[str, Any]:
    """Sinks, biases everywhere, and an activation of its own, whatever `hidden_act` says."""
    return {
        "attention_sinks": True,
        "attention_bias": source.flag("attention_bias", default=True),
        "mlp_bias": True,
        "hidden_act": "swigluoai",
        "swiglu_limit": source.number("swiglu_limit", 7.0),
    }


def minimax_attention(source: Source) -> dict[str, Any]:
    """`rotary_dim` counts elements of a head; norms go over all heads of a token."""
    width, head = source.positive("rotary_dim"), source.positive("head_dim")
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
    found: dict[str, Any] = {key: inner.positive(old) or source.positive(new) for key, new, old in names}
    size = inner.positive("sparse_block_size") or source.positive("index_block_size") or 128
    found["index_topk"] = size * (inner.positive("sparse_topk_blocks") or source.positive("index_topk_blocks") or 16)
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


def llama4_layers(source: Source) -> dict[str, Any]:
    """Norms without weights, and layers without rotation, every fourth where the file does not list them."""
    count = source.layers()
    return {
        "use_qk_norm": source.flag("use_qk_norm", default=True),
        "qk_norm_type": "l2",
        "no_rope_layers": source.entries("no_rope_layers", int) or [int((i + 1) % 4 > 0) for i in range(count)],
    }


def falcon(source: Source) -> dict[str, Any]:
    """One or a few heads of keys; attention and MLP side by side share a norm, unless the newer architecture gives each its own."""
    newer, alone = source.flag("new_decoder_architecture"), source.flag("multi_query", default=True)
    heads, hidden = source.required("num_attention_heads"), source.required("hidden_size")
    beside = source.flag("parallel_attn", default=True)
    two = not beside or (source.positive("num_ln_in_parallel_attn") or (2 if newer else 1)) == 2
    bias = source.flag("bias")
    return {
        "num_key_value_heads": (source.positive("num_kv_heads") or heads) if newer else 1 if alone else heads,
        "intermediate_size": source.positive("ffn_hidden_size") or 4 * hidden,
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
        "intermediate_size": (source.positive("expansion_ratio") or 4) * source.required("hidden_size"),
        "num_key_value_heads": inner.positive("kv_n_heads") or source.required("num_attention_heads"),
        "position_embedding_type": "none",
        "hidden_act": "gelu",
    }


def dbrx(source: Source) -> dict[str, Any]:
    """Sizes of attention and of experts stand in mappings of their own."""
    attention, feed = source.inside("attn_config"), source.inside("ffn_config")
    return {
        "num_key_value_heads": attention.positive("kv_n_heads") or 1,
        "rope_theta": attention.number("rope_theta", 10000.0),
        "intermediate_size": 0,
        "moe_intermediate_size": feed.positive("ffn_hidden_size") or 3584,
        "num_experts": feed.positive("moe_num_experts") or 4,
        "num_experts_per_tok": feed.positive("moe_top_k") or 1,
        "router_jitter_noise": feed.number("moe_jitter_eps", 0.0) or 0.0,
    }


def opt(source: Source) -> dict[str, Any]:
    """Embeddings may be narrower than hidden states, in the smallest model alone."""
    narrow, hidden = source.positive("word_embed_proj_dim"), source.required("hidden_size")
    if narrow not in (None, hidden):
        source.note(
            f"has word_embed_proj_dim={narrow}, not the hidden_size",
            "take a model whose embedding is as wide as its layers",
        )
    bias = source.flag("enable_bias", default=True)
    return {"attention_bias": bias, "mlp_bias": bias, "hidden_act": source.word("activation_function", "relu")}


def wide_mlp(source: Source) -> dict[str, Any]:
    """Four times the hidden state where the file does not say."""
    return {"intermediate_size": source.positive("intermediate_size") or 4 * source.required("hidden_size")}


def gpt_neo(source: Source) -> dict[str, Any]:
    """Local and global attention in turns; of attention's projections the last alone has a bias."""
    layers, said = source.layers(), source.find("attention_layers")
    local = [word == "local" for word in said] if isinstance(said, list) else [i % 2 == 1 for i in range(layers)]
    types = [SLIDING if is_local else FULL for is_local in local[:layers]]
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
    head = source.positive("head_dim") or source.required("hidden_size") // source.required("num_attention_heads")
    extra = 4 * head if source.flag("qk_layernorm") else 0
    return {"attention_bias": True, "mlp_bias": True, "blocks": {FULL: {"extra": extra}, "dense": {"norms": 0}}}


def persimmon(source: Source) -> dict[str, Any]:
    head = source.required("hidden_size") // source.required("num_attention_heads")
    extra = 4 * head if source.flag("qk_layernorm", default=True) else 0
    return {"attention_bias": True, "mlp_bias": True, "blocks": {FULL: {"extra": extra}}}


def phimoe(source: Source) -> dict[str, Any]:
    vocabulary = source.required("vocab_size") if source.flag("lm_head_bias") else 0
    return {"attention_bias": source.flag("attention_bias"), "other_params": {"head_bias": float(vocabulary)}}


def hunyuan(source: Source) -> dict[str, Any]:
    """Experts a token, and shared ones, may be listed by layer: alike in all of them, in every model that was published."""
    chosen, shares, widths = (
        source.find(key) for key in ("num_experts_per_tok", "num_shared_expert", "moe_intermediate_size")
    )
    first = [value[0] if isinstance(value, list) and value else value for value in (chosen, shares, widths)]
    if any(not isinstance(value, (int, type(None))) for value in first):
        source.note("has a list of experts that is none of whole numbers", "write one number, or one a layer")
        first = [1, 1, None]
    width = first[2] or source.required("intermediate_size")
    return {
        "num_experts": source.required("num_experts"),
        "num_experts_per_tok": first[0] or 1,
        "moe_intermediate_size": width,
        "intermediate_size": 0,
        **shared(width * (first[1] or 1)),
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
    width = source.positive("prefix_dense_intermediate_size") or source.required("intermediate_size")
    return {"intermediate_size": width}


def late(_i: int, _n: int) -> bool:
    return True


def sixth(i: int, _n: int) -> bool:
    return i == 0 or (i + 1) % 6 == 0


def never(_i: int, _n: int) -> bool:
    return False


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


def minimax_m3_experts(source: Source) -> dict[str, Any]:
    marks = source.entries("moe_layer_freq", int) if isinstance(source.data.get("moe_layer_freq"), list) else None
    types = source.entries("mlp_layer_types", str)
    dense = source.integer("first_k_dense_replace", 0)
    routed = marks or (types and [word == "sparse" for word in types]) or [i >= dense for i in range(source.layers())]
    return {
        "num_experts": source.required("num_local_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "moe_layer_freq": frequency([bool(mark) for mark in routed[: source.layers()]]),
        **shared(source.positive("shared_intermediate_size")),
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


def lfm3(source: Source) -> dict[str, Any]:
    """Norms after each block too, and a gate a head, where the file says so."""
    count = 2 if source.flag("use_sandwich_norm") else 1
    gate = {"gate": "heads" if source.flag("use_attention_gate") else "none"}
    blocks = {FULL: {"norms": count, **gate}, "conv": {"norms": count}, "dense": {"norms": count}}
    turns = {2: FULL, 0: SLIDING}
    usual = [turns.get(i % 4, "conv") if i else "conv" for i in range(source.layers())]
    types = {} if source.find("layer_types") else {"layer_types": usual}
    return {"sliding_window": source.positive("sliding_window"), "blocks": blocks, **types}


def qkv_flag(source: Source) -> dict[str, Any]:
    return {"qkv_bias": source.flag("qkv_bias", default=True)}


def mimo_v2(source: Source) -> dict[str, Any]:
    """Layers with a window have twice the heads of keys, and sinks."""
    kv, value = source.positive("num_key_value_heads") or 1, source.positive("v_head_dim")
    said = {key: source.data.get(key) for key in ("swa_num_key_value_heads", "swa_head_dim", "swa_v_head_dim")}
    heads = said["swa_num_key_value_heads"]
    sliding: dict[str, Any] = {"kv_heads": heads if isinstance(heads, int) else 2 * kv, "sinks": True}
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
