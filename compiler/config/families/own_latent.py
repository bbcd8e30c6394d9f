"""Parts of families whose latent attention has more than DeepSeek's: Hunyuan 4, GLM-5-Next, Dots 3 Note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.config.families.compressed import streams
from compiler.config.families.hybrid import fine
from compiler.config.families.mixers import FULL, LINEAR, SHARED_INDEX, SLIDING, own_indexers, words
from compiler.config.families.source import Source


def hy_v4(source: Source) -> dict[str, Any]:
    """Sinks, a gate of the output, and several streams of hidden states that two of each stream's numbers mix."""
    count, hidden = source.integer("hc_mult", 4, minimum=1), source.required("hidden_size")
    extra = 2 * count * (count * hidden + 1) + 2
    mixer = {"kind": "latent", "sinks": True, "gate": "elements", "extra": extra}
    return {
        "blocks": {FULL: mixer, SHARED_INDEX: mixer, "dense": {"extra": extra}, "sparse": {"extra": extra}},
        "other_params": {"streams": float(count * (count * hidden + 1) + 1)},
    }


def glm5_next(source: Source) -> dict[str, Any]:
    """Kimi's delta attention and latent attention in turns, whose indexer looks through one key for several tokens."""
    count = source.layers()
    types = words(source, "layer_types", (FULL, LINEAR)) or [FULL if i % 4 == 3 else LINEAR for i in range(count)]
    inner, own = source.within("linear_attn_config"), own_indexers(source)
    types = [SHARED_INDEX if word == FULL and not own[i] else word for i, word in enumerate(types)]
    head, extra = inner.size("head_dim") or source.required("linear_head_dim"), streams(source)
    heads = inner.size("num_heads") or source.required("linear_num_heads")
    kernel = inner.size("short_conv_kernel_size") or source.required("linear_conv_kernel_dim")
    delta = {**fine(heads, head), "conv_kernel": kernel, "gate_rank": head, "extra": extra}
    full = {"kind": "latent", "index_pool": source.integer("index_kpool", 1, minimum=1), "extra": extra}
    return {
        **{key: source.size(key) for key in ("index_topk", "index_n_heads", "index_head_dim")},
        "layer_types": types,
        "blocks": {
            LINEAR: delta,
            FULL: full,
            SHARED_INDEX: {**full, "own_index": False},
            "dense": {"extra": extra},
            "sparse": {"extra": extra},
        },
    }


SMALLER = {
    "heads": ("num_attention_heads", 64),
    "q_lora_rank": ("q_lora_rank", 1024),
    "kv_lora_rank": ("kv_lora_rank", 1024),
    "nope_dim": ("qk_nope_head_dim", 192),
    "rope_dim": ("qk_rope_head_dim", 64),
    "value_dim": ("v_head_dim", 128),
}
"""Of Dots 3's layers with a window: sizes of a block -> the file's key, and what it is where nothing is said."""


def dots3(source: Source) -> dict[str, Any]:
    """Layers with a window have a latent of their own; a gate a head, and a norm of rotated keys, in all. Sizes of a layer with a
    window stand in `per_layer_config`, in older files under `swa_`.
    """
    count, said = source.layers(), source.mapping("per_layer_config")
    types = words(source, "layer_types", (FULL, SLIDING)) or [
        FULL if i < 2 or i % 4 == 1 else SLIDING for i in range(count)
    ]
    at = types.index(SLIDING) if SLIDING in types else 0
    own: Mapping[str, Any] = next(
        (said[key] for key in (str(at), f"{at:02}", f"{at:03}") if isinstance(said.get(key), dict)), {}
    )
    inner = source.within("per_layer_config", own)
    near: dict[str, Any] = {
        size: inner.size(key) or source.size(f"swa_{key}") or usual for size, (key, usual) in SMALLER.items()
    }
    window = source.positive("sliding_window") or source.positive("sliding_window_size") or 512
    full = {"kind": "latent", "gate": "heads", "extra": source.integer("qk_rope_head_dim", 64)}
    near |= {**full, "window": window, "index_topk": None, "extra": near["rope_dim"]}
    return {
        **{key: source.size(key) for key in ("index_topk", "index_n_heads", "index_head_dim")},
        "layer_types": ["near" if word == SLIDING else word for word in types],
        "blocks": {FULL: full, "near": near},
    }
