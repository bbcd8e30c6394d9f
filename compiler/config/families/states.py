"""Parts of families with state spaces: Mamba and Mamba-2, alone, in turns with attention, or beside it."""

from __future__ import annotations

import math
from typing import Any

from compiler.config.families.feeds import frequency, shared
from compiler.config.families.mixers import FULL, LINEAR
from compiler.config.families.source import Part, Source

MAMBA2 = {
    "n_heads": "mamba_n_heads",
    "d_head": "mamba_d_head",
    "n_groups": "mamba_n_groups",
    "d_state": "mamba_d_state",
    "d_conv": "mamba_d_conv",
    "expand": "mamba_expand",
    "conv_bias": "mamba_conv_bias",
    "proj_bias": "mamba_proj_bias",
}
"""What most hybrids call the sizes of Mamba-2."""


def mamba2(word: str = LINEAR, **keys: str) -> Part:
    """Sizes of Mamba-2 by the names that most hybrids share; `keys` are a family's own."""

    def part(source: Source) -> dict[str, Any]:
        def name(key: str) -> str:
            return keys.get(key, MAMBA2[key])

        heads, inner = source.size(name("n_heads")) or 1, source.size(keys["d_ssm"]) if "d_ssm" in keys else None
        width = inner or (source.size(name("expand")) or 2) * source.required("hidden_size")
        return {
            "blocks": {
                word: {
                    "kind": "mamba2",
                    "heads": heads,
                    "head_dim": source.auto(name("d_head"), width // heads),
                    "groups": source.size(name("n_groups")) or 1,
                    "state_dim": source.required(name("d_state")),
                    "conv_kernel": source.size(name("d_conv")) or 4,
                    "conv_bias": source.flag(name("conv_bias"), default=True),
                    "bias": source.flag(name("proj_bias")),
                    "gated_norm": source.flag(keys["gated_norm"]) if "gated_norm" in keys else True,
                }
            }
        }

    return part


def mamba1(**said: Any) -> Part:
    """The names of Jamba; `said`: sizes that its file does not write."""
    return lambda source: {"blocks": {LINEAR: {**_mamba1(source), **said}}}


def _mamba1(source: Source) -> dict[str, Any]:
    hidden = source.required("hidden_size")
    return {
        "kind": "mamba",
        "inner": (source.size("mamba_expand") or 2) * hidden,
        "state_dim": source.required("mamba_d_state"),
        "dt_rank": source.auto("mamba_dt_rank", math.ceil(hidden / 16)),
        "conv_kernel": source.required("mamba_d_conv"),
        "conv_bias": source.flag("mamba_conv_bias", default=True),
        "bias": source.flag("mamba_proj_bias"),
    }


def jamba(source: Source) -> dict[str, Any]:
    """Attention, and experts, once a period."""
    count = source.layers()
    marks = {
        key: (source.integer(f"{key}_layer_period", period, minimum=1), source.integer(f"{key}_layer_offset", offset))
        for key, period, offset in (("attn", 8, 4), ("expert", 2, 1))
    }
    at = {key: [i % period == offset for i in range(count)] for key, (period, offset) in marks.items()}
    experts = source.required("num_experts")
    width = source.required("intermediate_size")
    routed = {
        "num_experts": experts,
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": width,
    }
    return {
        "layer_types": [FULL if full else LINEAR for full in at["attn"]],
        **({**routed, "moe_layer_freq": frequency(at["expert"])} if experts > 1 else {}),
        "position_embedding_type": "none",
    }


def granite_feed(source: Source) -> dict[str, Any]:
    """Experts beside a shared MLP, or that alone where there are none."""
    experts, width = source.integer("num_local_experts", 0), source.positive("shared_intermediate_size")
    if not experts:
        return {"intermediate_size": width or source.required("intermediate_size")}
    return {
        "num_experts": experts,
        "num_experts_per_tok": source.required("num_experts_per_tok"),
        "moe_intermediate_size": source.required("intermediate_size"),
        "intermediate_size": 0,
        **shared(width),
    }


def bamba(source: Source) -> dict[str, Any]:
    full = source.places("attn_layer_indices") or ()
    return {"layer_types": [FULL if i in full else LINEAR for i in range(source.layers())]}


def side_by_side(source: Source) -> dict[str, Any]:
    """Falcon-H1: attention and Mamba-2 in every layer, behind one norm."""
    return {"layer_types": [f"{FULL}+mamba2"] * source.layers(), "blocks": {"mamba2": {"norms": 0}}}


def spaces(kind: str) -> Part:
    """Mamba and Mamba-2 alone: no attention, and nothing after the mixer. Heads stand for what tensor parallelism deals out."""

    def part(source: Source) -> dict[str, Any]:
        count, hidden = source.layers(), source.required("hidden_size")
        inner = source.size("intermediate_size") or (source.size("expand") or 2) * hidden
        heads = source.size("num_heads") or inner
        if inner % heads:
            source.note(f"has num_heads={heads} for intermediate_size={inner}", "write heads of a width")
            heads = inner
        bias, conv = source.flag("use_bias"), source.flag("use_conv_bias", default=True)
        said = {
            "kind": kind,
            "state_dim": source.required("state_size"),
            "conv_kernel": source.required("conv_kernel"),
            "bias": bias,
        }
        if kind == "mamba":
            said |= {"inner": inner, "dt_rank": source.auto("time_step_rank", math.ceil(hidden / 16))}
        else:
            said |= {"heads": heads, "head_dim": source.required("head_dim"), "groups": source.required("n_groups")}
        return {
            "num_hidden_layers": count,
            "hidden_size": hidden,
            "vocab_size": source.required("vocab_size"),
            "num_attention_heads": heads if kind == "mamba2" else inner,
            "head_dim": inner // heads if kind == "mamba2" else 1,
            "tie_word_embeddings": source.flag("tie_word_embeddings", default=kind == "mamba"),
            "layer_types": [LINEAR] * count,
            "mlp_layer_types": ["none"] * count,
            "position_embedding_type": "none",
            "blocks": {LINEAR: {**said, "conv_bias": conv}},
        }

    return part
