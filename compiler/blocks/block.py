"""The data of a block: what parameters, FLOPs, memory, traffic and GEMM shapes are all read from."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compiler.frozen import dataclass

Array = NDArray[np.float64]


class Part(NamedTuple):
    """Elements that tensor parallelism deals out in `pieces` (heads, columns) of `width` elements each; 1 piece is on every rank."""

    pieces: int
    width: float = 1.0


Parts = tuple[Part, ...]


def local(parts: Parts, tp: Array | float) -> Array:
    """Elements on the fullest of `tp` ranks; pieces that are fewer than ranks are copied."""
    found = sum(
        (np.ceil(np.asarray(part.pieces, dtype=np.float64) / tp) * part.width for part in parts), 0.0 * np.asarray(tp)
    )
    return np.asarray(found)


def whole(parts: Parts) -> float:
    """Elements of all ranks together, each counted once."""
    return float(sum(part.pieces * part.width for part in parts))


@dataclass(frozen=True)
class Matrix:
    """A product of every token: `rows` elements in, `columns` out. `names`: what checkpoints call it, or parts of it.

    `role`: the class of its weights (attention, mlp, shared_experts), or router. `apart`: the first names are those of its columns,
    one by one, and the rest what checkpoints call it as a whole.
    """

    role: str
    names: tuple[str, ...]
    rows: Part
    columns: Parts
    apart: bool = False

    def named(self) -> list[tuple[tuple[str, ...], float]]:
        """Names and weights of each column that checkpoints have apart; else of all of it."""
        rows, count = self.rows.pieces * self.rows.width, len(self.columns)
        if not self.apart:
            return [(self.names, rows * whole(self.columns))]
        joined = self.names[count:]
        each = zip(self.names[:count], self.columns, strict=True)
        return [((name, *joined), rows * whole((part,))) for name, part in each]

    def weights(self, tp: Array | float) -> Array:
        return np.asarray(local((self.rows,), tp) * local(self.columns, tp))


@dataclass(frozen=True)
class Cache:
    """Elements of a token that stay for later tokens. `window`: of the last tokens alone; `every`: one entry for so many tokens.
    `reads`: entries that a query reads at most, where an indexer chooses.
    """

    parts: Parts
    window: int | None = None
    every: int = 1
    reads: int | None = None

    def entries(self, length: Array | float) -> Array:
        """Entries that a sequence of `length` tokens leaves."""
        found = np.asarray(length, dtype=np.float64)
        return np.minimum(found, self.window or np.inf) / self.every

    @property
    def limit(self) -> int | None:
        return self.reads or self.window


@dataclass(frozen=True)
class Score:
    """A product of a query and what it meets: `width` multiplications for each of `heads` and each key, `decode` of them where
    single tokens are decoded. Keys are met within `limit`, of one entry for `every` tokens.
    """

    heads: int
    width: float
    decode: float
    limit: int | None = None
    every: int = 1


@dataclass(frozen=True)
class Block:
    """A sublayer. `others`: weights that no product reads (norms, biases, convolutions). `state`: bytes of a sequence, whatever its
    length. `scan`: multiplications of a token that no weight takes part in; `convolved`: channels of a convolution before it. `kept`:
    elements of a token that backward reads, and `latent` those that sequence parallelism splits, `normed` what norms make of these;
    `ring`: what context parallelism passes on; `values`: what attention gives out. `routed`: it has the experts. `again`: its weights
    are those of an earlier block, alike in all. `norms`: norms over hidden states that come with it. `width`: of an MLP's hidden
    layer, or of that of all shared experts.
    """

    kind: str
    matrices: tuple[Matrix, ...]
    others: Parts = ()
    caches: tuple[Cache, ...] = ()
    state: Parts = ()
    scores: tuple[Score, ...] = ()
    scan: Parts = ()
    convolved: Parts = ()
    kept: Parts = ()
    latent: Parts = ()
    normed: Parts = ()
    ring: Parts = ()
    values: Parts = ()
    routed: bool = False
    width: int = 0
    again: bool = False
    norms: int = 1

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Blocks are looked up by the thousand, and take a hundred hashes each."""
        return hash((self.kind, self.matrices, self.others, self.caches, self.state, self.scores, self.width))

    @property
    def mixes(self) -> bool:
        """Whether tokens meet each other here: attention and what stands in its place."""
        return self.kind not in ("dense", "routed")

    @property
    def window(self) -> int | None:
        """Of a block all of whose caches keep the last tokens alone."""
        windows = {cache.window for cache in self.caches}
        return next(iter(windows)) if len(windows) == 1 else None
