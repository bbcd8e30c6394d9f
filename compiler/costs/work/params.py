"""Parameters: what the architecture has, what is declared, and what the fullest rank of each stage holds of it.

Two classes: dense (attention, dense MLP, shared experts, norms, embeddings, router) and experts (routed). In each, the
larger of the declared and the derived count wins. A declared class is spread evenly over shards and stages; a derived
one is placed block by block. Totals are the same functions at degree 1.
"""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import Block, local
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.case import Case
from compiler.costs.remembered import remembered
from compiler.costs.work.stages import Layers, layers
from compiler.costs.work.widths import COUNT, Widths
from compiler.frozen import dataclass
from compiler.specs.model import Model

ONE = array(1.0)


@dataclass(frozen=True)
class Counts:
    """Parameters of a rank by stage, arrays over stages. `*_gemm` are those that multiply a token in a forward pass, and
    `*_bytes` is what they are stored in.
    """

    dense: Array
    dense_gemm: Array
    moe: Array
    moe_gemm: Array
    dense_bytes: Array
    dense_gemm_bytes: Array
    moe_bytes: Array
    moe_gemm_bytes: Array

    @property
    def total(self) -> Array:
        return self.dense + self.moe


@dataclass(frozen=True)
class Totals:
    """Parameters of the whole model. Published counts leave MTP layers out, and so do all of these but `mtp`."""

    dense: float
    moe: float
    active: float
    derived_dense: float
    derived_moe: float
    mtp: float
    declared: float | None
    per_expert: float
    per_expert_all_layers: float


def matrices(model: Model) -> int:
    """Weight matrices of an MLP: gate, up and down, or up and down."""
    return 3 if model.gated_mlp else 2


def query_width(model: Model) -> int:
    """Width of a head's query and key."""
    if model.mla:
        return (model.qk_nope_head_dim or 0) + (model.qk_rope_head_dim or 0)
    return model.head_size


def value_width(model: Model) -> int:
    """Width of a head's value."""
    return model.v_head_dim or model.qk_nope_head_dim or 0 if model.mla else model.head_size


def mlp(model: Model, width: int, shards: Array) -> Array:
    """An MLP of a hidden width, split over `shards` ranks."""
    return matrices(model) * model.hidden_size * ceil_div(width, shards)


def block_weights(block: Block, tp: Array, each: Widths = COUNT) -> tuple[Array, Array]:
    """Dense class of a block on one TP rank, its products and its other weights; in parameters, or whatever `each` says of one."""
    products = sum((_width(each, matrix.role) * matrix.weights(tp) for matrix in block.matrices), 0.0 * tp)
    return np.asarray(products), each.rest * local(block.others, tp)


def _width(each: Widths, role: str) -> float:
    return float(getattr(each, role, each.rest))


def mixing_params(model: Model) -> float:
    """Weights of the products of attention, and of what stands in its place, in all layers."""
    whole = layers(model, (tuple(range(model.num_hidden_layers)),)).own
    return float(whole.sum(lambda block: block.mixes * block_weights(block, ONE)[0])[0])


def mtp_layer(model: Model, stages: Layers, tp: Array, each: Widths = COUNT) -> tuple[Array, Array]:
    """Dense class of one MTP layer, its matrices and its other weights: a layer and a projection of two hidden states to one."""
    projection = each.mlp * 2 * model.hidden_size * ceil_div(model.hidden_size, tp)
    parts = [block_weights(block, tp, each) for block in stages.mtp_blocks]
    norms = each.rest * 3 * model.norm_width * model.hidden_size
    return np.asarray(sum((part[0] for part in parts), projection)), np.asarray(sum((part[1] for part in parts), norms))


def dense(
    model: Model, stages: Layers, tp: Array, vocab: Array, train: bool, each: Widths = COUNT
) -> tuple[Array, Array]:
    """The dense class of a rank, arrays over stages: all of it, and the part that a forward pass multiplies by. In parameters,
    or whatever `each` says of one.

    The last stage holds a copy of the embedding where it is tied to the head across stages, and so does the stage of the MTP
    layers. They run in training only (no speculative decoding), and use the head, where it is, once more each. What a model has
    beside layers, embedding and head is on the first stage.
    """
    hidden, table = model.hidden_size, ceil_div(vocab, tp) * model.hidden_size
    own = stages.own
    linear, used = (found.sum(lambda block: block_weights(block, tp, each)[0]) for found in (own, stages))
    mtp_linear, mtp_others = mtp_layer(model, stages, tp, each)
    apart, tied = 1 - stages.first, float(model.tie_word_embeddings)
    copies = apart * np.maximum(tied * stages.last, stages.mtp > 0)
    tables = each.embedding * (stages.first + copies) + each.head * (1 - tied) * stages.last
    others = own.sum(lambda block: block_weights(block, tp, each)[1])
    others = others + each.rest * stages.last * model.norm_width * hidden
    others = others + each.rest * stages.first * sum(model.other_params.values())
    held = linear + others + stages.mtp * (mtp_linear + mtp_others) + tables * table
    used = used + each.head * stages.last * table
    return held, used + train * (stages.mtp * mtp_linear + (stages.heads - stages.last) * each.head * table)


def experts(model: Model, moe_layers: Array, held: Array, etp: Array) -> Array:
    """Routed experts of a rank, array over stages, with their biases where they have some."""
    each = matrices(model) * model.expert_hidden * ceil_div(model.expert_size, etp)
    if model.mlp_bias:
        each = each + (matrices(model) - 1) * ceil_div(model.expert_size, etp) + model.expert_hidden
    return moe_layers * held * each


def derived(model: Model) -> tuple[float, float, float]:
    """Dense class, experts, and MTP layers beside them: all layers, the official vocabulary."""
    whole, count = layers(model, (tuple(range(model.num_hidden_layers)),)), array(model.num_experts)
    main = whole.without_mtp
    held, _ = dense(model, main, ONE, array(model.vocab_size), train=False)
    routed = experts(model, main.moe, count, ONE)
    linear, others = mtp_layer(model, whole, ONE)
    mtp = whole.mtp * (linear + others) + experts(model, whole.mtp, count, ONE)
    return float(held[0]), float(routed[0]), float(mtp[0])


def chosen_fraction(model: Model) -> float:
    """Part of the routed experts that one token uses."""
    return min(1.0, model.num_experts_per_tok / (model.num_experts + model.zero_expert_num)) if model.moe else 1.0


@remembered
def totals(model: Model) -> Totals:
    """Both classes of the whole model: the larger of declared and derived."""
    declared = model.declared
    from_dense, from_moe, mtp = derived(model)
    all_dense, all_moe = max(declared.dense_params or 0.0, from_dense), max(declared.moe_params or 0.0, from_moe)
    per_expert = all_moe / max(1, model.num_experts)
    classes = (declared.dense_params, declared.moe_params)
    stated = sum(x for x in classes if x is not None) if None not in classes else None
    return Totals(
        dense=all_dense,
        moe=all_moe,
        active=all_dense + all_moe * chosen_fraction(model),
        derived_dense=from_dense,
        derived_moe=from_moe,
        mtp=mtp,
        declared=declared.params if declared.params is not None else stated,
        per_expert=per_expert / max(1, sum(model.moe_layers)),
        per_expert_all_layers=per_expert,
    )


def counts(case: Case, whole: Totals) -> Counts:
    """What the fullest rank of each stage holds."""
    model, train, widths = case.model, case.workload.train, case.widths
    flat = np.ones_like(case.stages.layers)
    if whole.dense > whole.derived_dense:
        held = used = whole.dense / (case.tp * case.pp) * flat
        share = mean_width(model, widths)
        held_bytes = used_bytes = share * held
    else:
        placed = (model, case.stages, case.tp, case.padded_vocab_size, train)
        held, used = dense(*placed)
        held_bytes, used_bytes = dense(*placed, widths)
    if whole.moe > whole.derived_moe:
        routed = working = whole.moe / (case.etp * case.ep * case.pp) * flat
    else:
        routed = experts(model, case.stages.with_mtp(model.moe).moe, case.local_experts, case.etp)
        working = experts(model, case.running.moe, case.local_experts, case.etp)
    held, held_bytes, routed = (_both_ways(case, part) for part in (held, held_bytes, routed))
    return Counts(
        held, used, routed, working, held_bytes, used_bytes, widths.experts * routed, widths.experts * working
    )


def mean_width(model: Model, widths: Widths) -> float:
    """Bytes of a weight of the dense class, on average."""
    whole = layers(model, (tuple(range(model.num_hidden_layers)),))
    main = (model, whole.without_mtp, ONE, array(model.vocab_size), False)
    return float(dense(*main, widths)[0][0] / dense(*main)[0][0])


def stored_bytes(model: Model, whole: Totals, widths: Widths) -> float:
    """Bytes of the whole model's weights, without MTP layers, as its counts are."""
    return whole.dense * mean_width(model, widths) + whole.moe * widths.experts


def rebuilt(case: Case) -> Array:
    """Weights of the dense class whose products backward makes again on each stage: up-projections of MLA, MLPs, shared experts."""
    model, found = case.model, 0.0 * case.running.layers
    if model.mla and "mla_up_proj" in case.rebuilt:
        heads = ceil_div(model.num_attention_heads, case.tp)
        keys = (model.kv_lora_rank or 0) * ((model.qk_nope_head_dim or 0) + value_width(model))
        found = found + case.running.layers * heads * ((model.q_lora_rank or 0) * query_width(model) + keys)
    if "mlp" in case.rebuilt:
        found = found + case.running.dense * mlp(model, model.intermediate_size, case.tp)
    if {"moe", "shared_experts"} & set(case.rebuilt):
        found = found + case.running.moe * mlp(model, model.shared_size, case.tp)
    return found


def beside(case: Case) -> Array:
    """Weights of shared experts that compute while tokens travel (Megatron-LM moe/shared_experts.py: their first product beside the
    dispatch, their last beside the combine).
    """
    return case.workload.overlapped_shared_experts * case.running.moe * mlp(case.model, case.model.shared_size, case.tp)


def _both_ways(case: Case, held: Array) -> Array:
    """DualPipe feeds the pipeline from both ends: a rank holds its stage and the mirrored one (DeepSeek-V3 report)."""
    if case.workload.train and case.workload.schedule == "dualpipe":
        return held + np.where(case.pp > 1, held[..., ::-1], 0)
    return held
