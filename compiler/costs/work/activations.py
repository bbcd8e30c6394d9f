"""Bytes of activations: stored for the backward pass in training, or the working set of one prefill.

Counted tensor by tensor with fused attention; for a GPT layer (f = 4h, no GQA) this is 2205.05198's 34*s*b*h/t with
sequence parallelism and s*b*h*(10 + 24/t) without. Experts: Megatron-LM's dispatcher, whose copies EP does not divide.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.blocks.block import Block, local
from compiler.costs import kept, moved, streams
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.constants import (
    ELEMENTWISE_PASSES,
    EXPERT_BIAS_BYTES,
    LOGIT_BYTES,
    LOSS_BYTES,
    NORM_PASSES,
    PERMUTE_PASSES,
    ROW_ELEMENTS,
    SCAN_PASSES,
    SCORE_BYTES,
    SCORE_WORK_BYTES,
)
from compiler.costs.pipeline.flight import in_flight
from compiler.costs.work.forward import Forward, chunked, whole_sequences


def in_training(case: Case) -> Array:
    """What a rank stores at the peak of a step, arrays over stages: a layer runs backward when the loss is done."""
    forward, each = whole_sequences(case, "train", case.workload.longest), stored_each(case)
    stored = in_flight(case) * (each - moved.each(case, each)) + moved.passing(case)
    return stored + kept.gathered(case, forward) + np.maximum(*passing(case))


def passing(case: Case) -> tuple[Array, Array]:
    """What lives only while one layer runs backward, and only while the loss does."""
    forward = whole_sequences(case, "train", case.workload.longest)
    scores = case.running.largest(lambda block: kept.scores(case, forward, block))
    layer = SCORE_WORK_BYTES * scores + _rebuilt_layer(case, forward)
    if case.workload.recompute == "full":  # inputs are kept; one layer at a time is rebuilt
        layer = layer + case.running.largest(lambda block: kept.block(case, forward, block)) + SCORE_BYTES * scores
    return layer + np.zeros_like(case.running.layers), kept.logits(case, forward)


def stored_each(case: Case) -> Array:
    """What one micro-batch keeps from its forward pass to its backward pass, arrays over stages."""
    forward = whole_sequences(case, "train", case.workload.longest)
    if case.workload.recompute == "full":
        return case.running.layers * kept.layer_input(case, forward)
    if "products" in case.rebuilt:
        return kept.products(case, forward)
    stored = case.running.sum(lambda block: kept.block(case, forward, block)) + streams.stored(case, forward)
    if case.workload.cuda_graphs == "layer":  # each graph's own copy of its layer's input (assumed)
        stored = stored + case.running.layers * kept.layer_input(case, forward)
    if "core_attn" not in case.rebuilt:
        stored = stored + SCORE_BYTES * case.running.sum(lambda block: kept.scores(case, forward, block))
    return stored


def working_set(case: Case) -> Array:
    """The longest prefill of one micro-batch: hidden states, the largest part of a layer, and logits of last tokens."""
    forward, _ = chunked(case, whole_sequences(case, "prefill", case.workload.longest), case.workload.longest)
    hidden = 3 * kept.layer_input(case, forward)
    experts = kept.experts(case, forward) + case.activation_bytes * case.model.expert_hidden * kept.pairs(case, forward)

    def each(block: Block) -> Array:
        if block.mixes:
            return kept.heads(case, forward, block)
        return kept.mlp(case, forward, block.width) + experts * block.routed

    logits = case.running.last * LOGIT_BYTES * forward.sequences * ceil_div(case.padded_vocab_size, case.tp)
    return hidden + case.running.largest(each, whole=False) + logits


def elementwise_bytes(case: Case, forward: Forward) -> Array:
    """Memory traffic of a forward pass outside GEMMs and attention: hidden states, what the MLP or experts write, and the loss.

    What a finer selection rebuilds is computed once more in the backward pass, a third of a forward and a backward one.
    """
    rebuilt = case.rebuilt
    case = replace(case, rebuilt=(), narrow_inputs=False)
    hidden = ELEMENTWISE_PASSES * case.running.layers * kept.layer_input(case, forward) + _scanned(case, forward)
    again = NORM_PASSES * case.running.layers * kept.layer_input(case, forward) * ("layernorm" in rebuilt)
    inner = [(block, count * kept.mlp(case, forward, block.width)) for block, count in case.running.blocks]
    dense = sum((found for block, found in inner if not block.routed), 0 * case.running.layers)
    shared = sum((found for block, found in inner if block.routed), 0 * case.running.layers)
    routed, whole = case.running.moe * kept.experts(case, forward), "moe" in rebuilt
    again = again + routed * (whole or "moe_act" in rebuilt) + dense * ("mlp" in rebuilt)
    again = again + shared * (whole or "shared_experts" in rebuilt)
    return hidden + dense + shared + routed + (again + _loss(case, forward)) * (1 / 3) * (forward.phase == "train")


def _scanned(case: Case, forward: Forward) -> Array:
    """Memory traffic of the convolutions, scans and gates of blocks with a state; of a server it is in their rooflines."""
    width = case.running.sum(lambda block: local(block.kept, case.tp) * bool(block.scan))
    return SCAN_PASSES * case.activation_bytes * forward.tokens * width * (forward.phase == "train")


def _loss(case: Case, forward: Forward) -> Array:
    """Memory traffic of the cross entropy, forward and backward."""
    each = LOSS_BYTES[case.fused_loss]
    heads = case.running.heads
    return heads * each * forward.tokens * ceil_div(case.padded_vocab_size, case.tp)


def permuted_bytes(case: Case, forward: Forward) -> Array:
    """Memory traffic of the copies of tokens on their way to experts and back, of all layers of a stage."""
    each = PERMUTE_PASSES * case.activation_bytes * (case.model.expert_hidden + ROW_ELEMENTS)
    biased = EXPERT_BIAS_BYTES * case.model.expert_hidden * (case.model.mlp_bias and case.workload.train)
    return case.running.moe * (each + biased) * kept.pairs(case, forward) * case.model.moe


def _rebuilt_layer(case: Case, forward: Forward) -> Array:
    """What selective recomputation makes of one layer again: of the block that most is made of, or all but its products."""
    full = replace(case, rebuilt=())
    if not case.rebuilt:
        return 0 * forward.tokens
    if "products" in case.rebuilt:
        whole = case.running.sum(lambda block: kept.block(full, forward, block))
        again = np.maximum(whole - kept.products(case, forward), 0) / np.maximum(case.running.layers, 1)
        return np.asarray(again)
    again = case.running.largest(
        lambda block: kept.block(full, forward, block) - kept.block(case, forward, block), whole=False
    )
    return np.asarray(again)
