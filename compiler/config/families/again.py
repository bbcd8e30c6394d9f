"""Families some of whose layers run again with the weights of earlier ones: Zamba, HRM-Text, Dory."""

from __future__ import annotations

from typing import Any

from compiler.config.families.mixers import FULL, LINEAR, SLIDING, words
from compiler.config.families.source import Source

HYBRID = "hybrid"
"""What a file calls a layer that has attention and an MLP before its state space."""

CYCLES = 64
"""Runs of a layer at most: far more than models have."""


def zamba(source: Source) -> dict[str, Any]:
    """One attention and MLP, before the state spaces of some layers, which all have it together: it reads the hidden state beside
    the embedding, and a product of each layer's own joins what it puts out.
    """
    count, period = source.layers(), source.integer("attn_layer_period", 6, minimum=1)
    at = source.integer("attn_layer_offset", 4)
    usual = [HYBRID if i == 2 or (i > 2 and (i - 3) % period == at) else LINEAR for i in range(count)]
    return _shared(source, words(source, "layers_block_type", (HYBRID, LINEAR)) or usual, blocks=1)


def zamba2(source: Source) -> dict[str, Any]:
    """Several such blocks in turns, with low-rank products of each layer's own beside theirs, and Mamba-2."""
    usual = [LINEAR, *[*[LINEAR] * 5, HYBRID] * 7, *[LINEAR] * 4, HYBRID, *[LINEAR] * 3, HYBRID, *[LINEAR] * 2]
    types = words(source, "layers_block_type", (HYBRID, LINEAR)) or (usual * source.layers())[: source.layers()]
    found = _shared(source, types, blocks=source.integer("num_mem_blocks", 1, minimum=1), more="+adapter")
    hidden, rank = source.required("hidden_size"), source.integer("adapter_rank", 128, minimum=1)
    of_attention = 3 * rank * 4 * hidden * source.flag("use_shared_attention_adapter")
    up = {"kind": "projection", "rank": rank, "width": 2 * found["intermediate_size"], "norms": 0}
    found["blocks"]["adapter"] = {**up, "extra": of_attention}
    return {**found, "mlp_bias": source.flag("add_bias_linear")}


def _shared(source: Source, types: list[str], *, blocks: int, more: str = "") -> dict[str, Any]:
    hidden = source.required("hidden_size")
    both = {"kind": "attention", "reads": 2 * hidden, "norms": 0, "extra": 2 * hidden}
    heads = source.required("num_attention_heads")
    both["head_dim"] = both["value_dim"] = source.size("attention_head_dim") or 2 * hidden // heads
    mixers, feeds, seen = [], [], 0
    for word in types:
        again = "again_" * (seen >= blocks)
        mixers.append(f"{again}{FULL}+detour{more}+{LINEAR}" if word == HYBRID else LINEAR)
        feeds.append(f"{again}dense" if word == HYBRID else "none")
        seen += word == HYBRID
    return {
        "layer_types": mixers,
        "mlp_layer_types": feeds,
        "intermediate_size": source.size("intermediate_size") or 4 * hidden,
        "head_dim": both["head_dim"],
        "position_embedding_type": "rope" if source.flag("use_mem_rope") else "none",
        "blocks": {
            FULL: both,
            f"again_{FULL}": {**both, "again": True},
            "again_dense": {"kind": "dense", "again": True},
            "detour": {"kind": "projection", "width": hidden, "norms": 0},
        },
    }


def hrm(source: Source) -> dict[str, Any]:
    """Two stacks of layers in cycles: the low one `L_cycles` times, then the high one, and all of it `H_cycles` times. Files count
    every run of a layer, older ones the layers of a stack.
    """
    high, low = (
        source.integer(key, usual, minimum=1, most=CYCLES) for key, usual in (("H_cycles", 2), ("L_cycles", 3))
    )
    each = source.size("num_layers_per_stack") or source.layers()
    runs = [stack for _ in range(high) for stack in [*["low"] * low, "high"]]
    again = [stack in runs[:i] for i, stack in enumerate(runs)]
    count = source.fits("num_layers_per_stack", each * len(runs))
    gated = {"gate": "elements"}
    return {
        "num_hidden_layers": count,
        "layer_types": [f"again_{FULL}" if old else FULL for old in again for _ in range(each)][:count],
        "mlp_layer_types": ["again_dense" if old else "dense" for old in again for _ in range(each)][:count],
        "norm_weights": 0,
        "blocks": {
            FULL: gated,
            f"again_{FULL}": {"kind": "attention", **gated, "again": True},
            "again_dense": {"kind": "dense", "again": True},
        },
    }


def dory(source: Source) -> dict[str, Any]:
    """Layers between the first and the last ones run in loops, each with a cache of its own; vectors scale what norms elsewhere do.
    Published files list attention and MLPs one by one.
    """
    said = words(source, "layer_types", (FULL, SLIDING, "mlp"))
    halves = 2 if said and "mlp" in said else 1
    types = said[::halves] if said else [FULL if i % 4 == 3 else SLIDING for i in range(source.layers())]
    first, last = (source.integer(key, 0) // halves for key in ("n_input_layers", "n_output_layers"))
    looped = source.positive("n_recurrent_layers")
    between = min(len(types), looped // halves if looped else max(0, len(types) - first - last))
    loops = source.integer("n_recurrent_loops", 2, minimum=1, most=CYCLES)
    middle = types[first : first + between]
    count = source.fits("n_recurrent_loops", len(types) + (loops - 1) * len(middle))
    again = [f"again_{word}" for word in middle] * (loops - 1)
    order = [*types[: first + between], *again, *types[first + between :]]
    hidden, width = source.required("hidden_size"), source.required("intermediate_size")
    wide = source.required("num_attention_heads") * (source.size("head_dim") or 1)
    mixer = {"kind": "attention", "gate": "elements", "extra": hidden + 2 * wide}
    near = {**mixer, "window": source.positive("sliding_window")}
    feed = {"extra": hidden + 2 * width}
    return {
        "num_hidden_layers": count,
        "sliding_window": near["window"],
        "layer_types": order[:count],
        "mlp_layer_types": ["again_dense" if word.startswith("again") else "dense" for word in order][:count],
        "norm_weights": 0,
        "blocks": {
            FULL: mixer,
            SLIDING: near,
            f"again_{FULL}": {**mixer, "again": True},
            f"again_{SLIDING}": {**near, "again": True},
            "dense": feed,
            "again_dense": {**feed, "kind": "dense", "again": True},
        },
    }
