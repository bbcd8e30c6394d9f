"""What a config.json says and no key of MaxText does: told, never dropped without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.frameworks.maxtext.blocks import decoder_block
from compiler.frameworks.maxtext.described import ACTIVATIONS, ROPE_TYPES, ROUTED_AS, activations
from compiler.specs.config import Config
from compiler.specs.model import Model
from compiler.specs.rope import RopeScaling

LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""What rope_type=llama3.1 stretches by, whatever is asked (layers/embeddings.py)."""


def unsaid(config: Config) -> Iterator[tuple[str, Any, str]]:
    """Key, value and why it gets lost."""
    model, block = config.model, decoder_block(config.model)
    if ACTIVATIONS.get(model.activation) != activations(model):
        yield "hidden_act", model.activation, f"mlp_activations is {'-'.join(activations(model))} in its place"
    if model.swiglu_limit is not None and model.activation != "swigluoai":
        yield "swiglu_limit", model.swiglu_limit, "mlp_activations_limit is GPT-OSS's"
    if not model.rms_norm and block != "gpt3":
        yield "layer_norm_epsilon", f"{model.norm_epsilon:g}", f"norms of decoder_block={block} are RMSNorm"
    yield from _unsaid_of_attention(model, block)
    yield from _unsaid_of_positions(model)
    if model.moe:
        yield from _unsaid_of_routing(model, block)


def _unsaid_of_attention(model: Model, block: str) -> Iterator[tuple[str, Any, str]]:
    known = {"qwen3", "qwen3_moe", "llama4"}
    if model.use_qk_norm and (block not in known or model.qk_norm_type != ("l2" if block == "llama4" else "per_head")):
        yield "use_qk_norm", "true", f"{model.qk_norm_type} is not a norm that decoder_block={block} has"
    for key, blocks in (("qkv_bias", {"qwen2"}), ("attention_bias", {"gpt_oss", "gpt3"})):
        if getattr(model, key) and block not in blocks:
            yield key, "true", f"attention of decoder_block={block} has none"
    if model.mlp_bias and block not in ("gpt_oss", "gpt3"):
        yield "mlp_bias", "true", f"MLPs of decoder_block={block} have none"
    slides = [window is not None for window in model.windows]
    expected = [block == "gpt_oss" and layer % 2 == 0 for layer in range(model.num_hidden_layers)]
    if slides != expected and not (block == "llama4" and model.attention_chunk_size):
        yield "sliding_window", model.sliding_window, f"{sum(expected)} of the layers of decoder_block={block} have one"
    if model.index_topk:
        yield "index_topk", model.index_topk, "attention is over all tokens, without an indexer"
    if model.attention_dropout:
        yield "attention_dropout", model.attention_dropout, "dropout_rate is the hidden states'"


def _unsaid_of_positions(model: Model) -> Iterator[tuple[str, Any, str]]:
    scaling = model.rope_scaling
    if model.position_embedding_type != "rope":
        if model.position_embedding_type == "none":
            yield "position_embedding_type", "none", "all of its layers rotate"
        return
    if model.partial_rotary_factor != 1 and not model.mla:
        yield "partial_rotary_factor", model.partial_rotary_factor, "whole heads rotate"
    yield from _unsaid_of_scaling(scaling)
    for key, number in _whole(model).items():
        if number != round(number):
            yield key, number, "its key takes whole numbers"
    layers = model.no_rope_layers or []
    if 0 in layers and layers != [int((i + 1) % (layers.index(0) + 1) > 0) for i in range(len(layers))]:
        yield "no_rope_layers", "irregular", "nope_layer_interval is a period"


def _unsaid_of_scaling(scaling: RopeScaling) -> Iterator[tuple[str, Any, str]]:
    if scaling.rope_type not in ROPE_TYPES:
        yield "rope_scaling.rope_type", scaling.rope_type, f"rope_type knows {', '.join(ROPE_TYPES)}"
    if scaling.attention_factor is not None:
        yield "rope_scaling.attention_factor", scaling.attention_factor, "it works the factor out of mscale"
    for key, value in (LLAMA3 if scaling.rope_type == "llama3" else {}).items():
        if getattr(scaling, key) not in (None, value):
            yield f"rope_scaling.{key}", getattr(scaling, key), f"its own {value:g} has no key"


def _whole(model: Model) -> dict[str, float]:
    """Numbers that are integers in MaxText."""
    scaling = model.rope_scaling
    names = ("factor", "beta_fast", "beta_slow") if scaling.rope_type == "yarn" else ()
    return {"rope_theta": model.rope_theta, **{f"rope_scaling.{name}": getattr(scaling, name) for name in names}}


def _unsaid_of_routing(model: Model, block: str) -> Iterator[tuple[str, Any, str]]:
    if block != "deepseek":
        if model.scoring_func != ("sigmoid" if block == "llama4" else "softmax"):
            yield "scoring_func", model.scoring_func, f"decoder_block={block} has no routed_score_func"
        if model.use_routing_bias:
            yield "use_routing_bias", "true", f"decoder_block={block} adds its bias to the scores themselves"
        if model.routed_scaling_factor != 1:
            yield "routed_scaling_factor", model.routed_scaling_factor, f"decoder_block={block} does not scale"
    divided = model.scoring_func != "softmax" if block == "deepseek" else block != "llama4"
    if model.norm_topk_prob != divided and model.num_experts_per_tok > 1:
        yield (
            "norm_topk_prob",
            str(model.norm_topk_prob).lower(),
            f"decoder_block={block} divides by the sum: {divided}",
        )
    if model.n_group > 1 and not model.use_routing_bias:
        yield (
            "n_group",
            model.n_group,
            f"groups are for models called {ROUTED_AS} and the like (layers/moe.py get_topk)",
        )
    if model.shared_expert_gate and model.shared_size:
        yield "shared_expert_gate", "true", "shared experts have no gate"
    if model.router_jitter_noise:
        yield "router_jitter_noise", model.router_jitter_noise, "routers have no noise"
