"""What blocks of a layer keep of a micro-batch for their backward pass, tensor by tensor, and what the head keeps.

Held against storages that autograd keeps of Megatron's own layers, module by module (tests/test_costs_saved_megatron.py).
"""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import Block, local
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.constants import (
    CHUNKED_BYTES,
    DROPOUT_MASK_BYTES,
    LOGIT_BYTES,
    SOFTMAX_STATISTIC_BYTES,
)
from compiler.costs.work.forward import Forward, dispatched
from compiler.costs.work.params import matrices


def block(case: Case, forward: Forward, one: Block) -> Array:
    """All that one block keeps."""
    return mixer(case, forward, one) if one.mixes else feed(case, forward, one)


def feed(case: Case, forward: Forward, one: Block) -> Array:
    """What follows attention, and what its norms read and put out: for a router, and for a module that runs again, that stays wide."""
    rebuilt, run = case.rebuilt, {"routed": "moe"}.get(one.kind, "mlp")
    read, normed = _norms(case, forward, one)
    if run in rebuilt:
        return read + case.activation_bytes * normed
    if not one.routed:
        return read + case.saved_bytes * normed + mlp(case, forward, one.width)
    found = read + case.activation_bytes * normed + experts(case, forward)
    if one.width and "shared_experts" not in rebuilt:
        found = found + narrow_copy(case) * normed + mlp(case, forward, one.width)
    return found


def mixer(case: Case, forward: Forward, one: Block) -> Array:
    """Attention, or what stands in its place: what its norms read and put out, and its own tensors."""
    read, normed = _norms(case, forward, one)
    again = "core_attn" in case.rebuilt or case.workload.recompute == "full"
    rows = sum(ceil_div(score.heads, case.tp) for score in one.scores[:1])
    statistics = (0.0 if again else SOFTMAX_STATISTIC_BYTES) * forward.tokens * rows
    return read + case.saved_bytes * normed + heads(case, forward, one) + statistics


def _norms(case: Case, forward: Forward, one: Block) -> tuple[Array, Array]:
    """Bytes of what a block's norms read and of dropout's masks, and elements that its first norm puts out; blocks without one
    share another's.
    """
    dropped = not (case.model.gated_mlp or case.model.rms_norm)  # of GPT alone: newer models have no dropout
    masks = dropped * DROPOUT_MASK_BYTES / 2 * case.model.hidden_size
    read = one.norms * layer_input(case, forward) + masks * forward.tokens / case.split
    normed = (one.norms > 0 and "layernorm" not in case.rebuilt) * layer_input(case, forward) / case.activation_bytes
    return read, normed


def narrow_copy(case: Case) -> Array:
    """Bytes of an element that a product reads and something else keeps as well: nothing more in layers where both keep the same."""
    narrow = (case.saved_bytes - case.activation_bytes * case.wide_share) * (case.saved_bytes < case.activation_bytes)
    return np.asarray(narrow)


def layer_input(case: Case, forward: Forward) -> Array:
    """One hidden state."""
    return case.activation_bytes * case.model.hidden_size * forward.tokens / case.split


def products(case: Case, forward: Forward) -> Array:
    """Of each layer its input, what its blocks scatter over tp, what attention puts out, and every second product: queries,
    values, the MLP's first and its last before it is summed (torchtitan activation_checkpoint.py); tokens sent to experts.
    """
    model, running = case.model, case.running
    width = running.sum(lambda one: local(one.kept, case.tp) - local(one.ring, case.tp) / 2)
    first = running.sum(lambda one: ceil_div(one.width, case.tp))
    products = forward.tokens * (width + running.layers * model.hidden_size + first)
    sent = 2 * running.moe * model.moe * (case.ep > 1)  # what all-to-alls put out; there are none at ep1
    routed = sent * pairs(case, forward) * model.expert_hidden
    hidden = running.layers * (1 + 2 * (case.split > 1)) * layer_input(case, forward)
    return hidden + case.activation_bytes * (products + routed)


def gathered(case: Case, forward: Forward) -> Array:
    """With sequence parallelism a GEMM's input is gathered over tp for its weights' gradient, while the input's own gradient is
    whole until it is scattered: two hidden states (Megatron-LM's layers.py; torch's eager tensor parallelism).
    """
    whole = case.activation_bytes * case.model.hidden_size * forward.tokens
    return 2 * whole * ((case.split > 1) & (not case.pipelined_tp))


def heads(case: Case, forward: Forward, one: Block) -> Array:
    """Queries, keys, values and the output of attention, or what stands in its place; with MLA also the latents, replicated over tp."""
    values, width = local(one.values, case.tp), local(one.kept, case.tp)
    viewed = width - values - local(one.ring, case.tp) / 2
    if one.normed and "mla_up_proj" in case.rebuilt:
        width = values
    if one.scores and not one.normed and "core_attn" in case.rebuilt and case.viewed_values:
        width = width + viewed
    return forward.tokens * (
        case.activation_bytes * width + latents(case, one) / case.split + narrow_copy(case) * values
    )


def latents(case: Case, one: Block) -> Array:
    """Bytes of latents of a token: what the norms before the up projections read, with the rotated keys, and, unless they run again
    with them, what those norms put out.
    """
    normed = local(one.normed, case.tp) * ("mla_up_proj" not in case.rebuilt)
    return case.activation_bytes * local(one.latent, case.tp) + case.saved_bytes * normed


def scores(case: Case, forward: Forward, one: Block) -> Array:
    """Pairs of tokens of all heads of a block, where their scores are kept."""
    if case.workload.fused_attention:
        return 0 * forward.tokens
    rows = sum(ceil_div(score.heads, case.tp) for score in one.scores[:1])
    return np.asarray(rows * forward.tokens * case.workload.longest)


def mlp(case: Case, forward: Forward, width: int) -> Array:
    """The output of the first GEMM (gate and up) and the input of the second."""
    return forward.tokens * hidden(case) * ceil_div(width, case.tp)


def hidden(case: Case) -> Array:
    """Bytes of one hidden element of an MLP: what the first products put out, and what the last one reads."""
    return case.activation_bytes * (matrices(case.model) - 1) + case.saved_bytes


def pairs(case: Case, forward: Forward) -> Array:
    """Dispatched tokens of the busiest rank."""
    return dispatched(case, forward) * case.workload.imbalance


def experts(case: Case, forward: Forward) -> Array:
    """Dispatched tokens and what the experts keep of them."""
    model = case.model
    inner = hidden(case) - case.saved_bytes * ("moe_act" in case.rebuilt)
    each = case.saved_bytes * model.expert_hidden + inner * ceil_div(model.expert_size, case.etp)
    return pairs(case, forward) * each * model.moe + latent(case, forward)


def latent(case: Case, forward: Forward) -> Array:
    """Where experts work in a latent: what the product to it reads, which is kept apart from the router's input in narrow formats, and
    what the one back reads.
    """
    narrow = narrow_copy(case) * case.model.hidden_size + case.saved_bytes * (case.model.moe_latent_size or 0)
    return np.asarray(narrow * forward.tokens / case.split) * (case.model.moe_latent_size is not None)


def logits(case: Case, forward: Forward) -> Array:
    """The last hidden state and the logits of one micro-batch in FP32, again for every MTP layer."""
    width = case.model.hidden_size + case.padded_vocab_size
    fused = LOGIT_BYTES + (0.0 if case.fused_loss else case.activation_bytes)
    alone, split = case.logit_bytes or (fused, fused)
    each = np.where(case.tp > 1, split, alone)
    once = each * forward.tokens * width / case.tp / case.loss_chunks
    whole = CHUNKED_BYTES * (case.loss_chunks > 1) * case.model.hidden_size * forward.tokens
    return np.asarray(case.running.heads * once + case.running.last * whole)
