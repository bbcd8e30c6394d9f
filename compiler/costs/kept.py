"""What modules of a layer keep of a micro-batch for their backward pass, tensor by tensor, and what the head keeps.

Held against storages that autograd keeps of Megatron's own layers, module by module (tests/test_costs_saved_megatron.py).
"""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import local
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


def blocks(case: Case, forward: Forward) -> tuple[Array, Array]:
    """The part after attention of a MoE layer, and of a dense one, with what the norm before it puts out: for the router,
    and for a module that runs again, it stays wide.
    """
    model, rebuilt = case.model, case.rebuilt
    normed = ("layernorm" not in rebuilt) * layer_input(case, forward) / case.activation_bytes
    moe, dense = case.activation_bytes * normed, case.saved_bytes * normed
    if "moe" not in rebuilt:
        moe = moe + experts(case, forward)
        if model.shared_size and "shared_experts" not in rebuilt:
            moe = moe + narrow_copy(case) * normed + mlp(case, forward, model.shared_size)
    if "mlp" in rebuilt:
        return moe, case.activation_bytes * normed
    return moe, dense + mlp(case, forward, model.intermediate_size)


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
    width = running.mean(lambda block: local(block.kept, case.tp) - local(block.ring, case.tp) / 2)
    first = running.dense * ceil_div(model.intermediate_size, case.tp) + running.moe * ceil_div(
        model.shared_size, case.tp
    )
    products = forward.tokens * (running.layers * (width + model.hidden_size) + first)
    sent = 2 * running.moe * model.moe * (case.ep > 1)  # what all-to-alls put out; there are none at ep1
    routed = sent * pairs(case, forward) * model.hidden_size
    hidden = running.layers * (1 + 2 * (case.split > 1)) * layer_input(case, forward)
    return hidden + case.activation_bytes * (products + routed)


def gathered(case: Case, forward: Forward) -> Array:
    """With sequence parallelism a GEMM's input is gathered over tp for its weights' gradient, while the input's own gradient is
    whole until it is scattered: two hidden states (Megatron-LM's layers.py; torch's eager tensor parallelism).
    """
    whole = case.activation_bytes * case.model.hidden_size * forward.tokens
    return 2 * whole * ((case.split > 1) & (not case.pipelined_tp))


def attention(case: Case, forward: Forward) -> Array:
    """The inputs of both norms and the output of the first, the dropout masks, and the attention's own tensors."""
    model = case.model
    masks = 0.0 if model.gated_mlp else DROPOUT_MASK_BYTES * model.hidden_size
    normed = 0.0 if "layernorm" in case.rebuilt else case.saved_bytes / case.activation_bytes
    outside = (2 + normed) * layer_input(case, forward) + masks * forward.tokens / case.split
    again = "core_attn" in case.rebuilt or case.workload.recompute == "full"
    statistics = (
        (0.0 if again else SOFTMAX_STATISTIC_BYTES) * forward.tokens * ceil_div(model.num_attention_heads, case.tp)
    )
    return outside + heads(case, forward) + statistics


def heads(case: Case, forward: Forward) -> Array:
    """Queries, keys, values and the output of attention, or what stands in its place; with MLA also the latents, replicated over tp."""
    model, running = case.model, case.running
    values, width = (
        running.mean(lambda block: local(block.values, case.tp)),
        running.mean(lambda block: local(block.kept, case.tp)),
    )
    viewed = width - values - running.mean(lambda block: local(block.ring, case.tp)) / 2
    if model.mla and "mla_up_proj" in case.rebuilt:
        width = values
    if not model.mla and "core_attn" in case.rebuilt and case.viewed_values:
        width = width + viewed
    return forward.tokens * (case.activation_bytes * width + latents(case) / case.split + narrow_copy(case) * values)


def latents(case: Case) -> Array:
    """Bytes of latents of a token: what the norms before the up projections read, with the rotated keys, and, unless they run again
    with them, what those norms put out.
    """
    found = case.running.mean(lambda block: local(block.latent, case.tp))
    normed = case.running.mean(lambda block: local(block.normed, case.tp))
    return case.activation_bytes * found + case.saved_bytes * normed * ("mla_up_proj" not in case.rebuilt)


def scores(case: Case, forward: Forward) -> Array:
    """Pairs of tokens of all heads of a layer, where their scores are kept."""
    if case.workload.fused_attention:
        return 0 * forward.tokens
    return ceil_div(case.model.num_attention_heads, case.tp) * forward.tokens * case.workload.longest


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
    each = case.saved_bytes * model.hidden_size + inner * ceil_div(model.expert_size, case.etp)
    return pairs(case, forward) * each * model.moe


def logits(case: Case, forward: Forward) -> Array:
    """The last hidden state and the logits of one micro-batch in FP32, again for every MTP layer."""
    width = case.model.hidden_size + case.padded_vocab_size
    fused = LOGIT_BYTES + (0.0 if case.fused_loss else case.activation_bytes)
    alone, split = case.logit_bytes or (fused, fused)
    each = np.where(case.tp > 1, split, alone)
    once = each * forward.tokens * width / case.tp / case.loss_chunks
    whole = CHUNKED_BYTES * (case.loss_chunks > 1) * case.model.hidden_size * forward.tokens
    return np.asarray(case.running.heads * once + case.running.last * whole)
