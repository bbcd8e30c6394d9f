"""Work of attention to the tokens that an indexer chose (DSA), as servers' kernels do it."""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import Block
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.work.forward import Forward

KIND = "sparse_latent"

PADDED = 64
"""Heads that its kernels take at least: prompts of 8 heads of a rank take as long as those of 64 (modules of DeepSeek-V3.2 and GLM-5)."""


def mixed(block: Block, tp: Array, forward: Forward) -> Array:
    """FLOPs of a token on a rank, of a block of `KIND`; every rank has all heads of an indexer."""
    chosen, *indexed = block.scores
    found = attended(ceil_div(chosen.heads, tp), chosen.decode, forward.met(chosen.limit))
    for score in indexed:
        found = found + 2 * score.heads * score.width * forward.met(None, score.every)
    return np.asarray(found)


def attended(heads: Array, width: float, met: Array) -> Array:
    """FLOPs of a token's queries with latents, in prompts as in decode."""
    return 2 * np.maximum(heads, PADDED) * width * met


def sizes(block: Block, tp: Array, forward: Forward) -> tuple[Array, Array, Array]:
    """Of a call: tokens of a sequence so far, new ones of all, heads of a rank."""
    length = forward.met(None) if forward.phase == "decode" else 0 * tp + forward.length
    return length, forward.tokens, ceil_div(block.scores[0].heads, tp)
