"""The linear modules of a model as checkpoints name them, and the patterns by which a `quantization_config` picks some."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from compiler.specs.model import Model

LAYERS = ("model.layers", "language_model.model.layers", "model.language_model.layers")
HEADS = ("lm_head", "language_model.lm_head")
TABLES = ("model.embed_tokens", "language_model.model.embed_tokens", "model.language_model.embed_tokens")
BLOCKS = {
    "mlp": ("mlp", "feed_forward"),
    "shared_experts": ("mlp.shared_experts", "mlp.shared_expert", "feed_forward.shared_expert", "shared_mlp"),
    "experts": ("mlp.experts.0", "mlp.experts", "block_sparse_moe.experts.0", "feed_forward.experts"),
}
"""Where the families of `hf.py` have an MLP, a layer's shared experts, and its routed ones."""

LEAVES = {
    "gate": ("gate_proj", "gate_up_proj", "w1", "gate_up"),
    "up": ("up_proj", "gate_up_proj", "w3", "gate_up"),
    "down": ("down_proj", "w2"),
}


@dataclass(frozen=True)
class Module:
    """Matrices of one class and layer that patterns pick together: every name that a file may have for them, and how many weights."""

    kind: str
    names: tuple[str, ...]
    count: float


def modules(model: Model) -> Iterator[Module]:
    """Every matrix that may be quantised; those of multi-token-prediction layers are numbered behind the others."""
    table = float(model.vocab_size * model.hidden_size)
    yield Module("embedding", TABLES, table)
    if not model.tie_word_embeddings:
        yield Module("head", HEADS, table)
    routed = [*model.moe_layers, *[model.moe] * model.num_nextn_predict_layers]
    for layer, moe in enumerate(routed):
        for leaves, count in _attention(model):
            yield _module("attention", layer, ("self_attn",), leaves, count)
        sizes = {"experts": model.num_experts * model.expert_size, "shared_experts": model.shared_size}
        for kind, width in sizes.items() if moe else (("mlp", model.intermediate_size),):
            for leaf in LEAVES if model.gated_mlp else ("up", "down"):
                if width:
                    yield _module(kind, layer, BLOCKS[kind], LEAVES[leaf], model.hidden_size * width)


def _module(kind: str, layer: int, blocks: Iterable[str], leaves: Iterable[str], count: float) -> Module:
    names = tuple(f"{start}.{layer}.{block}.{leaf}" for start, block, leaf in product(LAYERS, blocks, leaves))
    return Module(kind, names, float(count))


def _attention(model: Model) -> Iterator[tuple[tuple[str, ...], int]]:
    """Names of each projection, and its weights."""
    hidden, heads = model.hidden_size, model.num_attention_heads
    if not model.mla:
        yield ("q_proj", "qkv_proj"), hidden * heads * model.head_size
        yield ("k_proj", "qkv_proj"), hidden * model.kv_heads * model.head_size
        yield ("v_proj", "qkv_proj"), hidden * model.kv_heads * model.head_size
        yield ("o_proj",), hidden * heads * model.head_size
        return
    nope, rope, value = model.qk_nope_head_dim or 0, model.qk_rope_head_dim or 0, model.v_head_dim or 0
    latent, rank = model.kv_lora_rank or 0, model.q_lora_rank
    if rank is None:
        yield ("q_proj",), hidden * heads * (nope + rope)
    else:
        yield ("q_a_proj", "fused_qkv_a_proj"), hidden * rank
        yield ("q_b_proj",), rank * heads * (nope + rope)
    yield ("kv_a_proj_with_mqa", "fused_qkv_a_proj"), hidden * (latent + rope)
    yield ("kv_b_proj",), latent * heads * (nope + value)
    yield ("o_proj",), hidden * heads * value


@dataclass(frozen=True)
class Patterns:
    """Names or parts of names, `*` for anything in them, or a regular expression behind `re:` that fits from the start."""

    texts: tuple[str, ...]

    def pick(self, module: Module) -> bool:
        return any(self._picks(name) for name in module.names)

    def _picks(self, name: str) -> bool:
        parts = name.split(".")
        runs = {".".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
        return not self._words.isdisjoint(runs) or any(found.match(name) for found in self._expressions)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(text for text in self.texts if "*" not in text and not text.startswith("re:"))

    @cached_property
    def _expressions(self) -> tuple[re.Pattern[str], ...]:
        """Raises re.error for what is no regular expression."""
        found = [re.compile(text[3:]) for text in self.texts if text.startswith("re:")]
        globs = [text for text in self.texts if "*" in text and not text.startswith("re:")]
        parts = (".*".join(map(re.escape, text.split("*"))) for text in globs)
        return (*found, *(re.compile(rf"(?:.*\.)?{part}(?:\.|$)") for part in parts))
