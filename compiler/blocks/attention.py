"""Attention with groups of heads that share keys and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from compiler.blocks.block import Block, Cache, Matrix, Part, Parts, Score
from compiler.blocks.recurrent import convolved, inputs
from compiler.blocks.sizes import Sizes, size
from compiler.frozen import dataclass
from compiler.specs.fields import between, choice
from compiler.specs.limits import TOKENS, WIDTH


@dataclass(frozen=True)
class Grouped(Sizes):
    """Softmax attention with groups of heads that share keys and values, as far back as `window`.

    `gate`: of the output, an element or a head, by a product of its own. `keys`: "own" keys and values, "tied" ones (values are
    the keys before their norm), or those that an earlier layer has "shared". With
    `index_topk` an indexer of `index_heads` heads chooses what a query attends to. `reads`: the width of what it reads, where that is
    none of a hidden state (Zamba joins two). With `query_rank` queries go up from a latent of so many elements, behind a norm (Step3).
    """

    reads: Optional[int] = between(1, WIDTH, None)
    heads: int = size()
    kv_heads: int = size()
    query_rank: Optional[int] = between(1, WIDTH, None)
    head_dim: int = size()
    value_dim: int = size()
    window: Optional[int] = between(1, TOKENS, None)
    gate: str = choice(("none", "elements", "heads"), "none")
    keys: str = choice(("own", "tied", "shared"), "own")
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: str = choice(("none", "per_head", "per_layer", "every_head"), "none")
    sinks: bool = False
    index_heads: int = size(0)
    index_dim: int = size(0)
    index_topk: Optional[int] = between(1, TOKENS, None)

    def block(self) -> Block:
        query, value = Part(self.heads, self.head_dim), Part(self.heads, self.value_dim)
        keys, values = Part(self.kv_heads, self.head_dim), Part(self.kv_heads, self.value_dim)
        cached: Parts = () if self.keys == "shared" else (keys, values)
        joined: Parts = (query, *({"own": (keys, values), "tied": (keys,), "shared": ()}[self.keys]))
        names = ("q_proj", "k_proj", "v_proj")[: len(joined)]
        down = joined if self.query_rank is None else (Part(1, self.query_rank), *joined[1:])
        first = Matrix("attention", (*names, "qkv_proj"), Part(1, self.reads or self.hidden), down, apart=True)
        last = Matrix("attention", ("o_proj",), value, (Part(1, self.hidden),))
        return Block(
            kind="attention",
            matrices=(first, *self._up(query), *self._gate(), *self._index(), last),
            others=self._others(joined),
            caches=self._caches(cached),
            scores=self._scores(),
            kept=(query, value, keys, values),
            ring=(keys, values),
            values=(value,),
        )

    def _up(self, query: Part) -> tuple[Matrix, ...]:
        return () if self.query_rank is None else (Matrix("attention", ("wq",), Part(1, self.query_rank), (query,)),)

    def _index(self) -> tuple[Matrix, ...]:
        """An indexer chooses blocks of keys that a query attends to (MiniMax-M3)."""
        if self.index_topk is None:
            return ()
        columns = (Part(1, (self.index_heads + 1) * self.index_dim),)
        return (Matrix("attention", ("index_q_proj", "index_k_proj"), Part(1, self.hidden), columns),)

    def _caches(self, cached: Parts) -> tuple[Cache, ...]:
        if not cached:
            return ()
        index = (Cache((Part(1, self.index_dim),)),) if self.index_topk else ()
        return (Cache(cached, self.window, reads=self.index_topk), *index)

    def _scores(self) -> tuple[Score, ...]:
        width, limit = self.head_dim + self.value_dim, self.index_topk or self.window
        index = (Score(self.index_heads, self.index_dim, self.index_dim),) if self.index_topk else ()
        return (Score(self.heads, width, width, limit), *index)

    def _gate(self) -> tuple[Matrix, ...]:
        width = {"none": 0, "elements": self.value_dim, "heads": 1}[self.gate]
        found = Matrix("attention", ("g_proj", "gate_proj"), Part(1, self.hidden), (Part(self.heads, width),))
        return (found,) if width else ()

    def _others(self, joined: Parts) -> Parts:
        keys = Part(self.kv_heads * (self.keys != "shared"), self.head_dim)
        query = Part(self.heads, self.head_dim)
        norms = {"none": (), "per_layer": (query, keys), "every_head": (query, keys)}
        ones = Part(1, self.head_dim * (1 + (self.keys != "shared")))
        found = norms.get(self.qk_norm, (ones,))
        found += joined if self.qkv_bias else ()
        found += (Part(1, self.hidden),) if self.output_bias else ()
        found += (Part(self.heads),) if self.sinks else ()
        inner = 2 * self.index_dim if self.index_topk else 0
        return (*found, self.beside(inner + (self.query_rank or 0)))


@dataclass(frozen=True)
class Convolved(Grouped):
    """The same with a short convolution over keys and values, of `kernel` tokens, and positions by `relative` elements a head,
    projected to `extent` distances (Inkling). `inputs`: elements that further convolutions keep of a sequence, whole on every tp rank.
    """

    kernel: int = size(0)
    relative: int = size(0)
    extent: int = size(0)
    inputs: int = size(0)

    def block(self) -> Block:
        found = super().block()
        keys, values = Part(self.kv_heads, self.head_dim), Part(self.kv_heads, self.value_dim)
        projected = Matrix("attention", ("r_proj",), Part(1, self.hidden), (Part(self.heads, self.relative),))
        return replace(
            found,
            kind="convolved_attention",
            matrices=(*found.matrices, *((projected,) if self.relative else ())),
            others=(*found.others, *convolved(self.kernel, keys, values), Part(1, self.relative * self.extent)),
            state=(*inputs(self.kernel, keys, values), *inputs(1, Part(1, self.inputs))),
        )
