"""The linear modules of a model as checkpoints name them, and the patterns by which a `quantization_config` picks some."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import product

from compiler.blocks.block import Block
from compiler.blocks.stack import stack
from compiler.frozen import dataclass
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

MIXERS = ("self_attn", "linear_attn", "attn", "mamba", "mixer", "conv", "attention")
"""Where they have what mixes tokens."""

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
    found = stack(model)
    for layer, blocks in enumerate([*found.layers, *[found.mtp] * model.num_nextn_predict_layers]):
        for block in (found for found in blocks if not found.again):
            yield from _mixer(block, layer) if block.mixes else _feed(model, block, layer)


def _mixer(block: Block, layer: int) -> Iterator[Module]:
    """The projections of attention, and of what stands in its place; those that a product joins, each by its own name."""
    for names, count in (found for matrix in block.matrices for found in matrix.named()):
        yield _module("attention", layer, MIXERS, names, count)


def _feed(model: Model, block: Block, layer: int) -> Iterator[Module]:
    sizes = {"mlp": (block.width, model.hidden_size)}
    if block.routed:
        experts = (model.num_experts * model.expert_size, model.expert_hidden)
        sizes = {"experts": experts, "shared_experts": (block.width, model.hidden_size)}
    for kind, (width, hidden) in sizes.items():
        for leaf in LEAVES if model.gated_mlp else ("up", "down"):
            if width:
                yield _module(kind, layer, BLOCKS[kind], LEAVES[leaf], hidden * width)


def _module(kind: str, layer: int, blocks: Iterable[str], leaves: Iterable[str], count: float) -> Module:
    names = tuple(f"{start}.{layer}.{block}.{leaf}" for start, block, leaf in product(LAYERS, blocks, leaves))
    return Module(kind, names, float(count))


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
