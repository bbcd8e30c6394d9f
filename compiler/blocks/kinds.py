"""Every kind of block by name, and what its sizes are where a model's own keys say them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from compiler.blocks import attention, feed, latent, recurrent, spaces
from compiler.blocks.block import Block
from compiler.blocks.sizes import Sizes
from compiler.errors import Problem, short
from compiler.nearest import one_of
from compiler.specs import ranges
from compiler.specs.model import Model

KINDS: Mapping[str, type[Sizes]] = {
    "attention": attention.Grouped,
    "convolved": attention.Convolved,
    "latent": latent.Latent,
    "compressed": latent.Compressed,
    "delta": recurrent.Delta,
    "lightning": recurrent.Lightning,
    "convolution": recurrent.Convolution,
    "mamba": spaces.Mamba,
    "mamba2": spaces.Mamba2,
    "recurrence": spaces.GatedRecurrence,
    "projection": feed.Projection,
    "dense": feed.Dense,
    "routed": feed.Routed,
}
"""kind -> its sizes; `block()` of those makes the data that is costed."""

NONE = "none"
"""The word of a layer that has no mixer, or no feed-forward block."""

MIXERS = ("full_attention", "sliding_attention", "chunked_attention")
FEEDS = ("dense", "sparse")
"""Words that a model's own keys describe, without an entry in `blocks`."""


def words(model: Model, standard: tuple[str, ...]) -> tuple[str, ...]:
    """Words that a list of layers may hold."""
    return (*standard, NONE, *(name for name in model.blocks if name not in standard))


def make(model: Model, name: str) -> Block:
    """The block of that word; what `blocks` says of it wins over the model's own keys."""
    sizes: Sizes = KINDS[_kind(model, name)](**_sizes(model, name))
    block: Block = sizes.block()
    return replace(block, again=sizes.again, norms=sizes.norms)


def problems(model: Model) -> Iterator[Problem]:
    """What is wrong in `blocks` itself: an unknown kind or size, a bad value, or a size that nothing says."""
    for name, said in model.blocks.items():
        where = f"model.blocks.{short(name)}"
        if not isinstance(said, Mapping):
            yield Problem(f"{where}={short(said)} is no mapping", "write {kind: ..., and its sizes}")
        elif _kind(model, name) not in KINDS:
            yield Problem(
                f"{where}.kind={short(_kind(model, name))} is not known", one_of(str(said.get("kind")), (*KINDS,))
            )
        else:
            yield from _bad_sizes(model, name, where)


def _bad_sizes(model: Model, name: str, where: str) -> Iterator[Problem]:
    kind = KINDS[_kind(model, name)]
    known = [item.name for item in fields(kind)]
    unknown = [key for key in model.blocks[name] if key not in (*known, "kind")]
    for key in unknown:
        yield Problem(f"{where}.{short(key)} is no size of kind {_kind(model, name)}", one_of(str(key), tuple(known)))
    if unknown:
        return
    spec = kind(**_sizes(model, name))
    found = list(ranges.problems(spec, where))
    yield from found
    optional = {item.name for item in fields(kind) if "Optional" in str(item.type)}
    lacking = [key for key in known if getattr(spec, key) is None and key not in optional]
    for key in [] if found else lacking:
        yield Problem(f"{where} has no {key}, which kind {_kind(model, name)} needs", f"write {where}.{key}=NUMBER")


def _kind(model: Model, name: str) -> str:
    said = model.blocks.get(name, {}).get("kind")
    if said is not None:
        return str(said)
    if name in FEEDS:
        return "routed" if name == "sparse" else "dense"
    return "latent" if model.mla else "attention"


def _sizes(model: Model, name: str) -> dict[str, Any]:
    """Sizes by the model's own keys, then those of full attention where a window is all that differs, then the block's own."""
    kind = _kind(model, name)
    known = {item.name for item in fields(KINDS[kind])}
    base = model.blocks.get(MIXERS[0], {}) if name in MIXERS[1:] else {}
    said = {**base, **model.blocks.get(name, {})}
    found = {"hidden": model.hidden_size, "norm_weights": model.norm_width, **_OWN.get(kind, _nothing)(model)}
    if name in MIXERS[1:] and kind == "attention":
        found["window"] = model.sliding_window
    return {key: value for key, value in {**found, **said}.items() if key in known}


def _nothing(_: Model) -> dict[str, Any]:
    return {}


def _grouped(model: Model) -> dict[str, Any]:
    return {
        "heads": model.num_attention_heads,
        "kv_heads": model.kv_heads,
        "head_dim": model.head_size,
        "value_dim": model.v_head_dim or model.head_size,
        "qkv_bias": model.attention_bias or model.qkv_bias,
        "output_bias": model.attention_bias,
        "qk_norm": "none" if not model.use_qk_norm or model.qk_norm_type == "l2" else model.qk_norm_type,
        "sinks": model.attention_sinks,
    }


def _latent(model: Model) -> dict[str, Any]:
    return {
        "heads": model.num_attention_heads,
        "q_lora_rank": model.q_lora_rank,
        "kv_lora_rank": model.kv_lora_rank,
        "nope_dim": model.qk_nope_head_dim or 0,
        "rope_dim": model.qk_rope_head_dim or 0,
        "value_dim": model.v_head_dim or model.qk_nope_head_dim or 0,
        "index_topk": model.index_topk,
        "index_heads": model.indexer[0] if model.index_topk else 0,
        "index_dim": model.indexer[1] if model.index_topk else 0,
    }


def _compressed(model: Model) -> dict[str, Any]:
    return {
        "heads": model.num_attention_heads,
        "head_dim": model.head_size,
        "q_lora_rank": model.q_lora_rank,
        "window": model.sliding_window,
        "index_heads": model.index_n_heads or 0,
        "index_dim": model.index_head_dim or 0,
    }


def _lightning(model: Model) -> dict[str, Any]:
    return {"heads": model.num_attention_heads, "head_dim": model.head_size}


def _dense(model: Model) -> dict[str, Any]:
    return {"width": model.intermediate_size, "gated": model.gated_mlp, "bias": model.mlp_bias}


def _routed(model: Model) -> dict[str, Any]:
    return {
        "experts": model.num_experts,
        "zero_experts": model.zero_expert_num,
        "shared_width": model.shared_size,
        "shared_gate": model.shared_expert_gate,
        "latent": model.moe_latent_size,
        "gated": model.gated_mlp,
        "bias": model.mlp_bias,
    }


_OWN: Mapping[str, Callable[[Model], dict[str, Any]]] = {
    "attention": _grouped,
    "convolved": _grouped,
    "latent": _latent,
    "compressed": _compressed,
    "lightning": _lightning,
    "dense": _dense,
    "routed": _routed,
}
