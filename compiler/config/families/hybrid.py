"""Parts of families whose layers keep a state: sizes of linear attention, of state spaces and of convolutions."""

from __future__ import annotations

from typing import Any

from compiler.config.families.feeds import shared
from compiler.config.families.mixers import FULL, LINEAR, SLIDING, words
from compiler.config.families.source import Source
from compiler.errors import short


def delta(source: Source) -> dict[str, Any]:
    """Gated delta: Qwen3-Next and 3.5, OLMo Hybrid, whose heads are as many as those of attention where the file does not say."""
    heads = source.required("num_attention_heads")
    keys = source.size("linear_num_key_heads") or heads
    size = source.size("linear_key_head_dim") or int(0.75 * source.required("hidden_size") / keys)
    said = {
        "key_heads": keys,
        "value_heads": source.size("linear_num_value_heads") or heads,
        "key_dim": size,
        "value_dim": source.size("linear_value_head_dim") or 2 * size,
        "conv_kernel": source.integer("linear_conv_kernel_dim", 4),
    }
    return {"blocks": {LINEAR: said}}


def kimi(source: Source) -> dict[str, Any]:
    """Kimi Delta Attention; checkpoints say its sizes and layers, counted from 1, in `linear_attn_config`."""
    inner, count = source.within("linear_attn_config"), source.layers()
    head = inner.size("head_dim") or source.required("linear_head_dim")
    heads = inner.size("num_heads") or source.required("linear_num_heads")
    types = words(source, "layer_types", (FULL, LINEAR))
    full, linear = (inner.places(key, first=1) for key in ("full_attn_layers", "kda_layers"))
    if types is None and linear is not None:
        types = [LINEAR if i in linear else FULL for i in range(count)]
    if types is None and full is not None:
        types = [FULL if i in full else LINEAR for i in range(count)]
    types = types or [FULL if i and i % 4 == 0 else LINEAR for i in range(count)]
    kernel = inner.size("short_conv_kernel_size") or source.required("linear_conv_kernel_dim")
    said = {"conv_kernel": kernel, "gate_rank": head}
    return {"layer_types": types, "blocks": {LINEAR: {**fine(heads, head), **said}}}


def minimax(source: Source) -> dict[str, Any]:
    """Lightning attention, and full where `layer_types`, or a 1 of the published `attn_type_list`, says so: else every other layer."""
    types, count = words(source, "layer_types", (FULL, LINEAR)), source.layers()
    marks = source.each("attn_type_list", int, count)
    types = types or [FULL if (marks[i] if marks else i % 2) else LINEAR for i in range(count)]
    return {"layer_types": types, "blocks": {LINEAR: {"kind": "lightning"}}}


def fine(heads: Any, head: Any) -> dict[str, Any]:
    return {"kind": "delta", "fine": True, "key_heads": heads, "value_heads": heads, "key_dim": head, "value_dim": head}


def bailing(source: Source) -> dict[str, Any]:
    """Ling's hybrid: delta attention as wide as its heads (128), and latent attention with a gate a head, once a group of layers."""
    types = words(source, "layer_types", (FULL, LINEAR))
    size = source.size("layer_group_size") or 6
    count, heads = source.layers(), source.required("num_attention_heads")
    types = types or [FULL if (i + 1) % size == 0 else LINEAR for i in range(count)]
    head = source.size("linear_head_dim") or source.required("head_dim")
    said = {
        **fine(source.size("linear_num_heads") or heads, head),
        "conv_kernel": source.required("short_conv_kernel_size"),
    }
    return {"layer_types": types, "blocks": {LINEAR: said, FULL: {"kind": "latent", "gate": "heads"}}}


PATTERN = {"M": "mamba", "*": FULL, "-": "mlp", "E": "moe"}
SINGLE = {"linear_attention": LINEAR, "mamba": LINEAR, "attention": FULL, FULL: FULL, "mlp": "dense", "moe": "sparse"}


def nemotron_h(source: Source) -> dict[str, Any]:
    """Each layer is a single block: a mixer, an MLP or experts, by a pattern of letters or a list."""
    pattern = source.data.get("hybrid_override_pattern")
    letters = [PATTERN.get(letter, letter) for letter in pattern] if isinstance(pattern, str) else None
    said = (
        source.find("layers_block_type")
        if letters is None or isinstance(source.data.get("layers_block_type"), list)
        else letters
    )
    said = ["mamba", "moe", FULL, "mlp"] if said is None else said
    if not isinstance(said, list) or not said or any(not isinstance(word, str) or word not in SINGLE for word in said):
        name = (
            "hybrid_override_pattern" if letters is not None and said is letters else source.called("layers_block_type")
        )
        source.note(f"has {name}={short(repr(said))}", f"write letters of {''.join(PATTERN)}, or {', '.join(SINGLE)}")
        said = [FULL]
    names = [SINGLE[word] for word in said]
    feeds = [name if name in ("dense", "sparse") else "none" for name in names]
    routed = {
        "num_experts": source.required("n_routed_experts"),
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("moe_intermediate_size"),
        "moe_latent_size": source.positive("moe_latent_size"),
        **shared(source.positive("moe_shared_expert_intermediate_size")),
    }
    return {
        "num_hidden_layers": source.fits("layers_block_type", len(names)),
        "layer_types": ["none" if name in ("dense", "sparse") else name for name in names],
        "mlp_layer_types": feeds,
        **(routed if "sparse" in feeds else {}),
        "num_nextn_predict_layers": source.integer("num_nextn_predict_layers", 0),
        "hidden_act": source.word("mlp_hidden_act", "relu2"),
        "position_embedding_type": "none",
    }


def convolution(source: Source) -> dict[str, Any]:
    """LFM2: short convolutions, and attention where `layer_types` or `full_attn_idxs` says so."""
    count, types = source.layers(), words(source, "layer_types", (FULL, SLIDING, "conv"))
    if types is None:
        full = source.places("full_attn_idxs")
        types = [FULL if full is None or i in full else "conv" for i in range(count)]
    said = {"kind": "convolution", "conv_kernel": source.required("conv_L_cache"), "bias": source.flag("conv_bias")}
    tied = source.flag("tie_embedding") if source.find("tie_embedding") is not None else None
    return {
        "layer_types": types,
        "blocks": {"conv": said},
        **({} if tied is None else {"tie_word_embeddings": tied}),
    }


def lfm2_mlp(source: Source) -> dict[str, Any]:
    """Two thirds of what the file says, rounded up, where it is adjusted."""
    width = source.positive("block_ff_dim") or source.required("intermediate_size")
    if source.flag("block_auto_adjust_ff_dim", default=True):
        width, scale = int(2 * width / 3), source.number("block_ffn_dim_multiplier")
        if scale is not None:
            multiple = source.integer("block_multiple_of", 256, minimum=1)
            width = multiple * (-(-int(scale * width) // multiple))
    return {"intermediate_size": width}


def recurrent_gemma(source: Source) -> dict[str, Any]:
    """Two linear recurrences and one layer of local attention in turns; MLPs are half of what the file says, twice."""
    count, turn = source.layers(), words(source, "block_types", (FULL, LINEAR), each=False)
    turn = turn or [LINEAR, LINEAR, FULL]
    types = [SLIDING if turn[i % len(turn)] == FULL else LINEAR for i in range(count)]
    inner = source.size("lru_width") or source.required("hidden_size")
    linear = {"kind": "recurrence", "inner": inner, "heads": source.required("num_attention_heads")}
    return {
        "layer_types": types,
        "sliding_window": source.positive("attention_window_size"),
        "intermediate_size": source.required("intermediate_size") // 2,
        "mlp_bias": True,
        "blocks": {LINEAR: {**linear, "conv_kernel": source.required("conv1d_width")}, FULL: {"output_bias": True}},
    }


def lara_mini(source: Source) -> dict[str, Any]:
    """Gated delta, windows and full attention in turns of five."""
    turn = (LINEAR, SLIDING, LINEAR, FULL, SLIDING)
    types = words(source, "layer_types", (FULL, SLIDING, LINEAR))
    types = types or [turn[i % len(turn)] for i in range(source.layers())]
    window = source.positive("sliding_window")
    return {"layer_types": types, "sliding_window": window, "blocks": {LINEAR: {"kind": "delta"}}}
