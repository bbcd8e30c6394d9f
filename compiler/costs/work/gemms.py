"""The GEMMs of a forward pass by shape: a curve of efficiency needs rows, columns and depth, not only their product."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.blocks.block import local
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Gemm:
    """A product of tokens x k by k x n on a rank; `count` of them in a micro-batch, an array over stages.

    `role`: the class of its weights, or "router", which quantised recipes treat differently.
    """

    role: str
    n: Array
    k: Array
    count: Array


def gemms(case: Case) -> Iterator[Gemm]:
    """Every dense product; routed experts are apart."""
    held, tp = case.running, case.tp
    hidden = 0 * tp + case.model.hidden_size
    for block, count in held.blocks:
        for matrix in block.matrices:
            yield Gemm(matrix.role, local(matrix.columns, tp), local((matrix.rows,), tp), count)
    yield Gemm("head", ceil_div(case.padded_vocab_size, tp), hidden, held.heads)
    yield Gemm("mlp", ceil_div(hidden, tp), 2 * hidden, held.mtp)
