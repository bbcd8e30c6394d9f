"""Bytes of activations: stored for the backward pass in training, or the working set of one prefill.

Counted tensor by tensor with fused attention; for a GPT layer (f = 4h, no GQA) this is 2205.05198's 34*s*b*h/t with
sequence parallelism and s*b*h*(10 + 24/t) without. Experts: Megatron-LM's dispatcher, whose copies EP does not divide.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.blocks.block import local
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.constants import (
    CHUNKED_BYTES,
    DROPOUT_MASK_BYTES,
    ELEMENTWISE_PASSES,
    LOGIT_BYTES,
    LOGIT_COPIES_BYTES,
    LOSS_BYTES,
    NORM_PASSES,
    PERMUTE_PASSES,
    ROW_ELEMENTS,
    SCORE_BYTES,
    SCORE_WORK_BYTES,
    SOFTMAX_STATISTIC_BYTES,
)
from compiler.costs.forward import Forward, chunked, dispatched, whole_sequences
from compiler.costs.params import matrices
from compiler.costs.pipeline import in_flight


def in_training(case: Case) -> Array:
    """What a rank stores at the peak of a step, arrays over stages: a layer runs backward when the loss is done."""
    forward, kept = whole_sequences(case, "train", case.workload.longest), 1 - case.workload.activation_offload
    stored = in_flight(case) * kept * stored_each(case)
    return stored + _gathered(case, forward) + np.maximum(*passing(case))


def passing(case: Case) -> tuple[Array, Array]:
    """What lives only while one layer runs backward, and only while the loss does."""
    forward = whole_sequences(case, "train", case.workload.longest)
    layer = SCORE_WORK_BYTES * _scores(case, forward) + _rebuilt_layer(case, forward)
    if case.workload.recompute == "full":  # inputs are kept; one layer at a time is rebuilt
        layer = layer + _largest_layer(case, forward) + SCORE_BYTES * _scores(case, forward)
    return layer + np.zeros_like(case.running.layers), _logits(case, forward)


def stored_each(case: Case) -> Array:
    """What one micro-batch keeps from its forward pass to its backward pass, arrays over stages."""
    forward = whole_sequences(case, "train", case.workload.longest)
    if case.workload.recompute == "full":
        return case.running.layers * _layer_input(case, forward)
    if "products" in case.rebuilt:
        return _products(case, forward)
    stored = case.running.layers * _attention(case, forward) + _after_attention(case, forward)
    if case.workload.cuda_graphs == "layer":  # each graph's own copy of its layer's input (assumed)
        stored = stored + case.running.layers * _layer_input(case, forward)
    if "core_attn" not in case.rebuilt:
        stored = stored + case.running.layers * SCORE_BYTES * _scores(case, forward)
    return stored


def working_set(case: Case) -> Array:
    """The longest prefill of one micro-batch: hidden states, the largest part of a layer, and logits of last tokens."""
    forward, _ = chunked(case, whole_sequences(case, "prefill", case.workload.longest), case.workload.longest)
    model = case.model
    hidden = 3 * _layer_input(case, forward)
    experts = _experts(case, forward) + case.activation_bytes * model.hidden_size * _pairs(case, forward)
    moe = (case.running.moe > 0) * (_mlp(case, forward, model.shared_size) + experts)
    dense = (case.running.dense > 0) * _mlp(case, forward, model.intermediate_size)
    logits = case.running.last * LOGIT_BYTES * forward.sequences * ceil_div(case.padded_vocab_size, case.tp)
    return hidden + np.maximum(np.maximum(_heads(case, forward), moe), dense) + logits


def elementwise_bytes(case: Case, forward: Forward) -> Array:
    """Memory traffic of a forward pass outside GEMMs and attention: hidden states, what the MLP or experts write, and the loss.

    What a finer selection rebuilds is computed once more in the backward pass, a third of a forward and a backward one.
    """
    model, rebuilt = case.model, case.rebuilt
    case = replace(case, rebuilt=(), narrow_inputs=False)
    hidden = ELEMENTWISE_PASSES * case.running.layers * _layer_input(case, forward)
    again = NORM_PASSES * case.running.layers * _layer_input(case, forward) * ("layernorm" in rebuilt)
    dense = case.running.dense * _mlp(case, forward, model.intermediate_size)
    shared = case.running.moe * _mlp(case, forward, model.shared_size)
    routed, whole = case.running.moe * _experts(case, forward), "moe" in rebuilt
    again = again + routed * (whole or "moe_act" in rebuilt) + dense * ("mlp" in rebuilt)
    again = again + shared * (whole or "shared_experts" in rebuilt)
    return hidden + dense + shared + routed + (again + _loss(case, forward)) * (1 / 3) * (forward.phase == "train")


def _loss(case: Case, forward: Forward) -> Array:
    """Memory traffic of the cross entropy, forward and backward."""
    each = LOSS_BYTES[case.fused_loss]
    heads = case.running.heads
    return heads * each * forward.tokens * ceil_div(case.padded_vocab_size, case.tp)


def permuted_bytes(case: Case, forward: Forward) -> Array:
    """Memory traffic of the copies of tokens on their way to experts and back, of all layers of a stage."""
    each = case.activation_bytes * (case.model.hidden_size + ROW_ELEMENTS) * _pairs(case, forward)
    return PERMUTE_PASSES * case.running.moe * each * case.model.moe


def _after_attention(case: Case, forward: Forward) -> Array:
    """MLPs and experts of all layers of a stage."""
    moe, dense = _blocks(case, forward)
    return case.running.dense * dense + case.running.moe * moe


def _largest_layer(case: Case, forward: Forward) -> Array:
    moe, dense = _blocks(case, forward)
    return _attention(case, forward) + np.maximum((case.running.moe > 0) * moe, (case.running.dense > 0) * dense)


def _rebuilt_layer(case: Case, forward: Forward) -> Array:
    """What selective recomputation makes of one layer again: of its attention, or of what follows, whichever is more."""
    if not case.rebuilt or "products" in case.rebuilt:
        return 0 * forward.tokens
    whole = replace(case, rebuilt=())
    before = _attention(whole, forward) - _attention(case, forward)
    counts = (case.running.moe, case.running.dense)
    pairs = zip(counts, _blocks(whole, forward), _blocks(case, forward), strict=True)
    after = [(count > 0) * (all_ - kept) for count, all_, kept in pairs]
    return np.maximum(before, np.maximum(*after))


def _blocks(case: Case, forward: Forward) -> tuple[Array, Array]:
    """The part after attention of a MoE layer, and of a dense one, with what the norm before it puts out: for the router,
    and for a module that runs again, it stays wide.
    """
    model, rebuilt = case.model, case.rebuilt
    normed = ("layernorm" not in rebuilt) * _layer_input(case, forward) / case.activation_bytes
    moe, dense = case.activation_bytes * normed, case.saved_bytes * normed
    if "moe" not in rebuilt:
        moe = moe + _experts(case, forward)
        if model.shared_size and "shared_experts" not in rebuilt:
            moe = moe + _narrow_copy(case) * normed + _mlp(case, forward, model.shared_size)
    if "mlp" in rebuilt:
        return moe, case.activation_bytes * normed
    return moe, dense + _mlp(case, forward, model.intermediate_size)


def _narrow_copy(case: Case) -> Array:
    """Bytes of an element that a product reads and something else keeps as well: nothing more in layers where both keep the same."""
    narrow = (case.saved_bytes - case.activation_bytes * case.wide_share) * (case.saved_bytes < case.activation_bytes)
    return np.asarray(narrow)


def _layer_input(case: Case, forward: Forward) -> Array:
    """One hidden state."""
    return case.activation_bytes * case.model.hidden_size * forward.tokens / case.split


def _products(case: Case, forward: Forward) -> Array:
    """Of each layer its input, what its blocks scatter over tp, what attention puts out, and every second product: queries,
    values, the MLP's first and its last before it is summed (torchtitan activation_checkpoint.py); tokens sent to experts.
    """
    model, running = case.model, case.running
    width = running.mean(lambda block: local(block.kept, case.tp) - local(block.ring, case.tp) / 2)
    first = running.dense * ceil_div(model.intermediate_size, case.tp) + running.moe * ceil_div(
        model.shared_size, case.tp
    )
    products = forward.tokens * (running.layers * (width + model.hidden_size) + first)
    sent = 2 * running.moe * model.moe * (case.ep > 1)  # what all-to-alls put out; there are none at ep1
    routed = sent * _pairs(case, forward) * model.hidden_size
    hidden = running.layers * (1 + 2 * (case.split > 1)) * _layer_input(case, forward)
    return hidden + case.activation_bytes * (products + routed)


def _gathered(case: Case, forward: Forward) -> Array:
    """With sequence parallelism a GEMM's input is gathered over tp for its weights' gradient, while the input's own gradient is
    whole until it is scattered: two hidden states (Megatron-LM's layers.py; torch's eager tensor parallelism).
    """
    whole = case.activation_bytes * case.model.hidden_size * forward.tokens
    return 2 * whole * ((case.split > 1) & (not case.pipelined_tp))


def _attention(case: Case, forward: Forward) -> Array:
    """The inputs of both norms and the output of the first, the dropout masks, and the attention's own tensors."""
    model = case.model
    masks = 0.0 if model.gated_mlp else DROPOUT_MASK_BYTES * model.hidden_size
    normed = 0.0 if "layernorm" in case.rebuilt else case.saved_bytes / case.activation_bytes
    outside = (2 + normed) * _layer_input(case, forward) + masks * forward.tokens / case.split
    again = "core_attn" in case.rebuilt or case.workload.recompute == "full"
    statistics = (
        (0.0 if again else SOFTMAX_STATISTIC_BYTES) * forward.tokens * ceil_div(model.num_attention_heads, case.tp)
    )
    return outside + _heads(case, forward) + statistics


def _heads(case: Case, forward: Forward) -> Array:
    """Queries, keys, values and the output of attention; with MLA also the latents, replicated over tp."""
    model = case.model
    values = case.running.mean(lambda block: local(block.values, case.tp))
    width = case.running.mean(lambda block: local(block.kept, case.tp))
    if model.mla and "mla_up_proj" in case.rebuilt:
        width = values
    output = _narrow_copy(case) * values
    latent = case.running.mean(lambda block: local(block.latent, case.tp))
    return forward.tokens * (case.activation_bytes * (width + latent / case.split) + output)


def _scores(case: Case, forward: Forward) -> Array:
    """Pairs of tokens of all heads of a layer, where their scores are kept."""
    if case.workload.fused_attention:
        return 0 * forward.tokens
    return ceil_div(case.model.num_attention_heads, case.tp) * forward.tokens * case.workload.longest


def _mlp(case: Case, forward: Forward, width: int) -> Array:
    """The output of the first GEMM (gate and up) and the input of the second."""
    return forward.tokens * _hidden(case) * ceil_div(width, case.tp)


def _hidden(case: Case) -> Array:
    """Bytes of one hidden element of an MLP: what the first products put out, and what the last one reads."""
    return case.activation_bytes * (matrices(case.model) - 1) + case.saved_bytes


def _pairs(case: Case, forward: Forward) -> Array:
    """Dispatched tokens of the busiest rank."""
    return dispatched(case, forward) * case.workload.imbalance


def _experts(case: Case, forward: Forward) -> Array:
    """Dispatched tokens and what the experts keep of them."""
    model = case.model
    hidden = _hidden(case) - case.saved_bytes * ("moe_act" in case.rebuilt)
    each = case.saved_bytes * model.hidden_size + hidden * ceil_div(model.expert_size, case.etp)
    return _pairs(case, forward) * each * model.moe


def _logits(case: Case, forward: Forward) -> Array:
    """The last hidden state and the logits of one micro-batch in FP32, again for every MTP layer."""
    width = case.model.hidden_size + case.padded_vocab_size
    fused = LOGIT_BYTES + (0.0 if case.fused_loss else case.activation_bytes)
    alone, split = LOGIT_COPIES_BYTES.get(case.framework, (fused, fused))
    each = np.where(case.tp > 1, split, alone)
    once = each * forward.tokens * width / case.tp / case.loss_chunks
    whole = CHUNKED_BYTES * (case.loss_chunks > 1) * case.model.hidden_size * forward.tokens
    return case.running.heads * once + case.running.last * whole
