"""Kinds of attention that keep something narrower than keys and values: latents (MLA) with or without an indexer (DSA), and compressed
keys (DeepSeek-V4).
"""

from __future__ import annotations

from typing import Optional

from compiler.blocks.block import Block, Cache, Matrix, Part, Parts, Score
from compiler.blocks.sizes import Sizes, size
from compiler.frozen import dataclass
from compiler.specs.fields import between, choice
from compiler.specs.limits import TOKENS, WIDTH


@dataclass(frozen=True)
class Latent(Sizes):
    """Multi-head latent attention (MLA, 2405.04434); with `index_topk` an indexer of `index_heads` heads chooses the tokens that a
    query attends to (DSA, DeepSeek-V3.2). Down projections are whole on every tp rank (Megatron-LM, vLLM mla.py).
    `own_index`: whether it has an indexer, or takes what an earlier layer's chose; its keys are one for `index_pool` tokens.
    """

    heads: int = size()
    q_lora_rank: Optional[int] = between(1, WIDTH, None)
    kv_lora_rank: int = size()
    nope_dim: int = size()
    rope_dim: int = size()
    value_dim: int = size()
    index_heads: int = size(0)
    index_dim: int = size(0)
    index_topk: Optional[int] = between(1, TOKENS, None)
    own_index: bool = True
    index_pool: int = between(1, TOKENS, 1)
    window: Optional[int] = between(1, TOKENS, None)
    sinks: bool = False
    gate: str = choice(("none", "elements", "heads"), "none")
    latent_norm: bool = True

    def block(self) -> Block:
        latent, rope, query = self.kv_lora_rank, self.rope_dim, self.nope_dim + self.rope_dim
        rank = self.q_lora_rank or 0
        ranked = self.latent_norm * rank
        cached, keys = Part(1, latent + rope), Part(self.heads, query + self.value_dim)
        index = self._index()
        decode = 2 * latent + rope
        gated = {"none": 0, "elements": self.value_dim, "heads": 1}[self.gate]
        gates = (Matrix("attention", ("g_proj",), Part(1, self.hidden), (Part(self.heads, gated),)),) if gated else ()
        score = Score(self.heads, query + self.value_dim, decode, self.index_topk or self.window)
        return Block(
            kind="latent" if self.index_topk is None else "sparse_latent",
            matrices=(*self._queries(), *self._keys(), *index, *gates, self._output()),
            others=(self.beside(ranked + latent + self._index_norm() + self.sinks * self.heads),),
            caches=(Cache((cached,), self.window, reads=self.index_topk), *((self._index_cache(),) if index else ())),
            scores=(score, *((self._index_score(),) if index else ())),
            kept=(Part(self.heads, query + self.value_dim), keys),
            latent=(Part(1, rank + latent + rope),),
            normed=(Part(1, rank + latent),),
            ring=(keys,),
            values=(Part(self.heads, self.value_dim),),
        )

    def _queries(self) -> tuple[Matrix, ...]:
        up = (Part(self.heads, self.nope_dim + self.rope_dim),)
        if self.q_lora_rank is None:
            return (Matrix("attention", ("q_proj",), Part(1, self.hidden), up),)
        down = (Part(1, self.q_lora_rank),)
        first = Matrix("attention", ("q_a_proj", "fused_qkv_a_proj"), Part(1, self.hidden), down)
        return first, Matrix("attention", ("q_b_proj",), Part(1, self.q_lora_rank), up)

    def _keys(self) -> tuple[Matrix, ...]:
        latent = Part(1, self.kv_lora_rank)
        down = (Part(1, self.kv_lora_rank + self.rope_dim),)
        up = (Part(self.heads, self.nope_dim + self.value_dim),)
        first = Matrix("attention", ("kv_a_proj_with_mqa", "fused_qkv_a_proj"), Part(1, self.hidden), down)
        return first, Matrix("attention", ("kv_b_proj",), latent, up)

    def _output(self) -> Matrix:
        return Matrix("attention", ("o_proj",), Part(self.heads, self.value_dim), (Part(1, self.hidden),))

    def _index(self) -> tuple[Matrix, ...]:
        """Queries from their latent, keys and weights of heads from the hidden state, whole on every rank (vLLM deepseek_v2.py)."""
        if self.index_topk is None or not self.own_index:
            return ()
        queries = (Part(1, self.index_heads * self.index_dim),)
        state = (Part(1, self.index_dim + self.index_heads),)
        source = Part(1, self.q_lora_rank or self.hidden)
        first = Matrix("attention", ("indexer.wq_b",), source, queries)
        return first, Matrix("attention", ("indexer.wk", "indexer.weights_proj"), Part(1, self.hidden), state)

    def _index_cache(self) -> Cache:
        return Cache((Part(1, self.index_dim),), every=self.index_pool)

    def _index_score(self) -> Score:
        return Score(self.index_heads, self.index_dim, self.index_dim, every=self.index_pool)

    def _index_norm(self) -> int:
        """A norm of keys; where they are pooled, a gate's product and a place for each of them too."""
        pooled = (self.index_pool + self.hidden) * self.index_dim if self.index_pool > 1 else 0
        return 2 * self.index_dim + pooled if self._index() else 0


@dataclass(frozen=True)
class Compressed(Sizes):
    """Attention of DeepSeek-V4: one key that is its own value, of the last `window` tokens, and beside them one entry for every
    `ratio` tokens. With `index_topk` an indexer chooses some of those. Outputs go through `o_groups` products of `o_lora_rank`.

    The compressor of a ratio below the window overlaps its neighbours, which doubles its products (transformers 5.24,
    modeling_deepseek_v4.py; vLLM 0.33, models/deepseek_v4).
    """

    heads: int = size()
    head_dim: int = size()
    q_lora_rank: int = size()
    o_lora_rank: int = size()
    o_groups: int = between(1, WIDTH, 1)
    window: int = between(1, TOKENS, 128)
    ratio: int = between(0, TOKENS, 0)
    index_heads: int = size(0)
    index_dim: int = size(0)
    index_topk: Optional[int] = between(1, TOKENS, None)

    def block(self) -> Block:
        size, hidden, queries = self.head_dim, Part(1, self.hidden), Part(self.heads, self.head_dim)
        wide = 2 if self.index_topk else 1
        index = self.index_topk is not None and self.ratio > 0
        first = Matrix("attention", ("q_a_proj", "kv_proj"), hidden, (Part(1, self.q_lora_rank + size),))
        groups = Part(self.o_groups, self.heads // self.o_groups * size)
        return Block(
            kind="compressed",
            matrices=(
                first,
                Matrix("attention", ("q_b_proj",), Part(1, self.q_lora_rank), (queries,)),
                *self._compressors(wide, index=index),
                Matrix("attention", ("o_a_proj",), groups, (Part(1, self.o_lora_rank),)),
                Matrix("attention", ("o_b_proj",), Part(self.o_groups, self.o_lora_rank), (hidden,)),
            ),
            others=self._others(wide, index=index),
            caches=(
                Cache((Part(1, size),), self.window),
                *((Cache((Part(1, size),), every=self.ratio, reads=self.index_topk),) if self.ratio else ()),
                *((Cache((Part(1, self.index_dim),), every=self.ratio),) if index else ()),
            ),
            scores=self._scores(index=index),
            kept=(queries, queries),
            latent=(Part(1, self.q_lora_rank + size + self.o_groups * self.o_lora_rank),),
            ring=(Part(1, size),),
            values=(queries,),
        )

    def _compressors(self, wide: int, *, index: bool) -> tuple[Matrix, ...]:
        hidden, size = Part(1, self.hidden), self.head_dim
        found: tuple[Matrix, ...] = ()
        if self.ratio:
            both = (Part(1, 2 * wide * size),)
            found = (Matrix("attention", ("compressor.kv_proj", "compressor.gate_proj"), hidden, both),)
        if index:
            state = (Part(1, 2 * wide * self.index_dim + self.index_heads),)
            found += (Matrix("attention", ("indexer.kv_proj", "indexer.weights_proj"), hidden, state),)
            queries = (Part(1, self.index_heads * self.index_dim),)
            found += (Matrix("attention", ("indexer.q_b_proj",), Part(1, self.q_lora_rank), queries),)
        return found

    def _others(self, wide: int, *, index: bool) -> Parts:
        """Norms, sinks, and the biases of positions within an entry."""
        size = self.head_dim
        entry = self.ratio * wide * size + size if self.ratio else 0
        entry += self.ratio * wide * self.index_dim + self.index_dim if index else 0
        return Part(self.heads), self.beside(self.q_lora_rank + size + entry)

    def _scores(self, *, index: bool) -> tuple[Score, ...]:
        near = Score(self.heads, 2 * self.head_dim, 2 * self.head_dim, self.window)
        far = Score(self.heads, 2 * self.head_dim, 2 * self.head_dim, self.index_topk, max(1, self.ratio))
        chosen = Score(self.index_heads, self.index_dim, self.index_dim, None, max(1, self.ratio))
        return (near, *((far,) if self.ratio else ()), *((chosen,) if index else ()))
