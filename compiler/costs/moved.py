"""Activations that go to the host's memory in a forward pass and come back for the backward pass: whole layers, or what single
modules keep (Megatron-LM pipeline_parallel/fine_grained_activation_offload.py: all that autograd keeps within them).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from compiler.costs import kept
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.work.forward import Forward, whole_sequences
from compiler.costs.work.params import matrices, value_width


def each(case: Case, stored: Array) -> Array:
    """Bytes of one micro-batch, arrays over stages, of `stored` that it keeps."""
    workload = case.workload
    if not workload.offload_modules:
        return np.asarray(workload.activation_offload * stored)
    before, after = _layer(case)
    return np.minimum(case.running.layers * before + case.running.moe * after, stored)


def passing(case: Case) -> Array:
    """What one layer's modules keep while it runs, and while theirs is on its way."""
    if not case.workload.offload_modules:
        return np.zeros_like(case.running.layers)
    before, after = _layer(case)
    return (case.running.layers > 0) * before + (case.running.moe > 0) * after


def _layer(case: Case) -> tuple[Array, Array]:
    forward, modules = whole_sequences(case, "train", case.workload.longest), case.workload.offload_modules
    return _attention(case, forward, modules), _experts(case, forward, modules)


def _attention(case: Case, forward: Forward, modules: Collection[str]) -> Array:
    """MLA has its first norm apart, other attention within the product that makes queries, keys and values."""
    model, state = case.model, kept.layer_input(case, forward)
    normed = ("layernorm" not in case.rebuilt) * case.saved_bytes / case.activation_bytes * state
    each = case.activation_bytes + kept.narrow_copy(case)
    output = forward.tokens * ceil_div(model.num_attention_heads, case.tp) * value_width(model) * each
    latents = forward.tokens * case.running.mean(lambda block: kept.latents(case, block)) / case.split
    heads = case.running.mean(lambda block: kept.heads(case, forward, block))
    sent = state * (("attn_norm" if model.mla else "qkv_linear") in modules) + normed * ("qkv_linear" in modules)
    sent = sent + (heads - latents - output) * ("core_attn" in modules)
    return np.asarray(sent + output * ({"core_attn", "attn_proj"} <= set(modules)))


def _experts(case: Case, forward: Forward, modules: Collection[str]) -> Array:
    """The norm before the experts, the tokens that they read, and what their activation reads."""
    if "moe" in case.rebuilt:
        return kept.layer_input(case, forward) * ("mlp_norm" in modules)
    pairs, model = kept.pairs(case, forward), case.model
    read = case.saved_bytes * model.expert_hidden * pairs * ("expert_fc1" in modules)
    inner = case.activation_bytes * (matrices(model) - 1) * ceil_div(model.expert_size, case.etp)
    return np.asarray(
        kept.layer_input(case, forward) * ("mlp_norm" in modules) + read + inner * pairs * ("moe_act" in modules)
    )
