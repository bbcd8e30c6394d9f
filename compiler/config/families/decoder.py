"""Parts that read a decoder's sizes, and what its layers do beside them: norms, activation, biases, positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from compiler.config.families.source import Part, Source
from compiler.specs.limits import VOCABULARY
from compiler.specs.rope import RopeScaling

LARGEST = {"vocab_size": VOCABULARY}

GATED = frozenset({"silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu", "relu2", "swigluoai", "swish", "xielu"})


def sizes(**keys: str) -> Part:
    """Layers, widths and heads; `keys` are a family's own names of them."""

    def part(source: Source) -> dict[str, Any]:
        def name(key: str) -> str:
            return keys.get(key, key)

        wanted = ("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
        found: dict[str, Any] = {"num_hidden_layers": source.layers(name("num_hidden_layers"))}
        found |= {key: source.required(name(key)) for key in wanted if name(key)}
        found |= {key: source.positive(name(key)) for key in ("num_key_value_heads", "head_dim") if name(key)}
        _heads(source, name("hidden_size"), found)
        return found | tied(source)

    return part


def _heads(source: Source, key: str, found: Mapping[str, Any]) -> None:
    """Tell a hidden state, where there is one, that is too narrow for its heads."""
    heads = found["num_attention_heads"]
    if source.find(key) == found["hidden_size"] < heads and not found.get("head_dim"):
        source.note(f"has {source.called(key)}={found['hidden_size']} for {heads} heads", "write heads of a width")


def tied(source: Source) -> dict[str, Any]:
    return {
        "tie_word_embeddings": source.flag(
            "tie_word_embeddings", default=bool(source.defaults.get("tie_word_embeddings"))
        )
    }


decoder = sizes()


def rms(key: str = "rms_norm_eps") -> Part:
    return lambda source: {"rms_norm_eps": source.number(key, 1e-6, most=0.1)}


def layer_norm(key: str = "layer_norm_epsilon", weights: int = 2) -> Part:
    """LayerNorm: with a bias for each weight, or without one, or without weights."""
    return lambda source: {
        "layer_norm_epsilon": source.number(key, 1e-5, most=0.1),
        "norm_weights": weights,
        "rms_norm_eps": None,
    }


def norms(count: int, *words: str) -> Part:
    """So many norms over hidden states come with each of these blocks, instead of one."""
    return lambda _: {"blocks": {word: {"norms": count} for word in words}}


BOTH = ("full_attention", "dense", "sparse")


def extra(word: str, **counts: int) -> Part:
    """A block's further weights: for each element of the hidden state (`hidden`), or a number of them (`plain`)."""

    def part(source: Source) -> dict[str, Any]:
        hidden = counts.get("hidden", 0) and source.required("hidden_size")
        return {"blocks": {word: {"extra": counts.get("hidden", 0) * hidden + counts.get("plain", 0)}}}

    return part


def activation(key: str = "hidden_act", default: str = "silu") -> Part:
    return lambda source: {"hidden_act": source.word(key, default)}


def plain_mlp(_: Source) -> dict[str, Any]:
    """Two matrices: nothing gates what the first puts out."""
    return {"gated_mlp": False}


def biases(**keys: str) -> Part:
    """Model's key of a bias -> the file's, all of them False where nothing is said."""
    return lambda source: {name: source.flag(key) for name, key in keys.items()}


attention_and_mlp_bias = biases(attention_bias="attention_bias", mlp_bias="mlp_bias")
attention_bias = biases(attention_bias="attention_bias")
qkv_bias = biases(qkv_bias="attention_bias")


def layers(**defaults: Any) -> Part:
    """What every decoder of the Llama kind says of its layers; `defaults` are those of a family whose own differ."""

    def part(source: Source) -> dict[str, Any]:
        return {
            "hidden_act": source.word("hidden_act", defaults.get("hidden_act", "silu")),
            "rms_norm_eps": source.number("rms_norm_eps", defaults.get("rms_norm_eps", 1e-6), most=0.1),
            "attention_dropout": source.number("attention_dropout", 0.0, most=1),
            "initializer_range": source.number("initializer_range", 0.02, most=10),
            **positions(**defaults)(source),
        }

    return part


THETA = 1e15
"""A base of rotations at most."""

ROPE = ("rope_parameters", "rope_scaling")
"""Where a file says how rotations are scaled."""


def positions(**defaults: Any) -> Part:
    """Transformers 5 writes all of it into `rope_parameters`, of each kind of attention where they differ; before, `rope_scaling`
    stood beside `rope_theta`.
    """

    def part(source: Source) -> dict[str, Any]:
        longest = source.positive("max_position_embeddings")
        name = next((key for key in ROPE if source.data.get(key) is not None), ROPE[0])
        inner = source.within(name, _of_full(source.mapping(*ROPE)))
        outer = source.number("rope_theta", defaults.get("rope_theta", 10000.0), most=THETA)
        share = source.number("partial_rotary_factor", defaults.get("partial_rotary_factor", 1.0))
        return {
            "max_position_embeddings": longest,
            "rope_theta": inner.number("rope_theta", outer, most=THETA),
            "partial_rotary_factor": inner.number("partial_rotary_factor", share),
            "rope_scaling": rope_scaling(inner, longest),
        }

    return part


def _of_full(found: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = found.get("full_attention")
    return (
        inner
        if isinstance(inner, Mapping)
        else {key: value for key, value in found.items() if not isinstance(value, Mapping)}
    )


def rope_scaling(source: Source, longest: int | None) -> RopeScaling:
    """YaRN counts from the model's own length where the file names no original one (modeling_rope_utils.py)."""
    kind = source.word("rope_type", source.word("type", "default"))
    if kind in ("default", "mrope", "proportional"):  # of several axes, or of a part of each head: nothing is scaled
        return RopeScaling()
    said: dict[str, Any] = {
        item.name: source.number(item.name) for item in fields(RopeScaling) if "float" in str(item.type)
    }
    found = RopeScaling(
        rope_type=kind,
        original_max_position_embeddings=source.positive("original_max_position_embeddings") or longest,
        truncate=source.flag("truncate", default=True),
    )
    return replace(found, **{name: value for name, value in said.items() if value is not None})


def learned_positions(key: str = "max_position_embeddings", more: int = 0) -> Part:
    """A table of positions, of `more` rows than positions."""

    def part(source: Source) -> dict[str, Any]:
        count = source.size(key) or 1024
        table = (count + more) * source.required("hidden_size")
        found = {"position_embedding_type": "absolute", "max_position_embeddings": count}
        return {**found, "other_params": {"positions": float(table)}}

    return part


no_positions = {"position_embedding_type": "none"}


def other(name: str, *, hidden: int = 0, vocabulary: int = 0) -> Part:
    """Weights beside layers, embedding and head: so many for each element of a hidden state, or word."""

    def part(source: Source) -> dict[str, Any]:
        count = hidden and hidden * source.required("hidden_size")
        return {"other_params": {name: float(count + (vocabulary and source.required("vocab_size")))}}

    return part


def gpt2(source: Source) -> dict[str, Any]:
    """Biases everywhere, dropout, and a table of positions."""
    return {
        "intermediate_size": source.size("n_inner") or 4 * source.required("hidden_size"),
        "hidden_act": source.word("activation_function", "gelu_new"),
        "attention_dropout": source.number("attn_pdrop", 0.1, most=1),
        "hidden_dropout": source.number("resid_pdrop", 0.1, most=1),
        "initializer_range": source.number("initializer_range", 0.02, most=10),
        "attention_bias": True,
        "mlp_bias": True,
        "gated_mlp": False,
    }
