"""The GEMMs of a forward pass by shape: a curve of efficiency needs rows, columns and depth, not only their product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.work.params import key_value_width, matrices, query_width, value_width


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
    model, held, tp = case.model, case.running, case.tp
    hidden = 0 * tp + model.hidden_size
    yield from attention(case, hidden)
    yield from mlp(case, "mlp", model.intermediate_size, held.dense)
    if model.moe:
        yield from mlp(case, "shared_experts", model.shared_size, held.moe)
        yield Gemm("router", 0 * tp + model.num_experts, hidden, held.moe)
    yield Gemm("head", ceil_div(case.padded_vocab_size, tp), hidden, held.heads)
    yield Gemm("mlp", ceil_div(hidden, tp), 2 * hidden, held.mtp)


def attention(case: Case, hidden: Array) -> Iterator[Gemm]:
    """Projections of one layer; MLA's down projections are whole on every TP rank."""
    model, count = case.model, case.running.layers
    heads = ceil_div(model.num_attention_heads, case.tp)
    query, value = query_width(model), value_width(model)
    if not model.mla:
        yield Gemm("attention", heads * query + key_value_width(model, case.tp), hidden, count)
    else:
        latent, rope, rank = model.kv_lora_rank or 0, model.qk_rope_head_dim or 0, model.q_lora_rank
        if rank is None:
            yield Gemm("attention", heads * query, hidden, count)
        else:
            yield Gemm("attention", 0 * hidden + rank, hidden, count)
            yield Gemm("attention", heads * query, 0 * hidden + rank, count)
        yield Gemm("attention", 0 * hidden + latent + rope, hidden, count)
        yield Gemm("attention", heads * (query - rope + value), 0 * hidden + latent, count)
    yield Gemm("attention", hidden, heads * value, count)


def mlp(case: Case, role: str, width: int, count: Array) -> Iterator[Gemm]:
    """Gate and up as one product, and down."""
    if width:
        part, hidden = ceil_div(width, case.tp), 0 * case.tp + case.model.hidden_size
        yield Gemm(role, (matrices(case.model) - 1) * part, hidden, count)
        yield Gemm(role, hidden, part, count)
