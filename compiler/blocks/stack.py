"""The layers of a model as blocks."""

from __future__ import annotations

from compiler.blocks.block import Block
from compiler.blocks.kinds import NONE, make
from compiler.frozen import dataclass
from compiler.specs.model import Model

BETWEEN = "+"
"""Joins the words of a layer that has several blocks of a sort: full_attention+mamba2."""


@dataclass(frozen=True)
class Stack:
    """Blocks of each layer in the order of the layers, and of one multi-token-prediction layer."""

    layers: tuple[tuple[Block, ...], ...]
    mtp: tuple[Block, ...]


def stack(model: Model) -> Stack:
    """The blocks that `layer_types`, `mlp_layer_types` and the model's own keys say."""
    made: dict[str, Block] = {}

    def blocks(text: str) -> tuple[Block, ...]:
        names = [name for name in text.split(BETWEEN) if name != NONE]
        return tuple(made[name] if name in made else made.setdefault(name, make(model, name)) for name in names)

    texts = tuple(zip(model.mixer_words, model.feed_words, strict=True))
    seen = {pair: blocks(pair[0]) + blocks(pair[1]) for pair in dict.fromkeys(texts)}
    return Stack(tuple(seen[pair] for pair in texts), _mtp([block for found in seen.values() for block in found]))


def _mtp(found: list[Block]) -> tuple[Block, ...]:
    """An MTP layer attends to all tokens where some layer does, and routes where the model has experts."""
    mixers, feeds = [block for block in found if block.mixes], [block for block in found if not block.mixes]
    full = [block for block in mixers if block.caches and block.window is None]
    routed = [block for block in feeds if block.routed]
    return (*(full or mixers)[:1], *(routed or feeds)[:1])
