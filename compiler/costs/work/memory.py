"""Bytes on the fullest rank of each stage: weights, gradients, optimizer, activations, KV cache and the rest.

Weights, gradients and optimizer follow Megatron-LM's theoretical_memory_usage.py and ZeRO (1910.02054).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from compiler.blocks.block import Block, Cache, local
from compiler.costs import trained
from compiler.costs.arrays import Array, ceil_div
from compiler.costs.case import Case
from compiler.costs.comm.communicators import extra_bytes
from compiler.costs.constants import (
    GATHERED_LAYERS,
    OTHER_BYTES,
    RESERVED_SHARE,
    SAVED_BYTES,
    WORKSPACE_BYTES,
)
from compiler.costs.work import states
from compiler.costs.work.activations import in_training, passing, working_set
from compiler.costs.work.params import Counts, block_weights
from compiler.frozen import dataclass


@dataclass(frozen=True)
class Memory:
    """Bytes by stage, arrays over stages."""

    weights_bytes: Array
    gradients_bytes: Array
    optimizer_bytes: Array
    activations_bytes: Array
    kv_cache_bytes: Array
    other_bytes: Array

    @property
    def total_bytes(self) -> Array:
        total: Array = sum((getattr(self, item.name) for item in fields(self)), start=np.zeros(()))
        return total


def memory(case: Case, held: Counts) -> Memory:
    """Memory of the fullest rank of each stage."""
    none = np.zeros_like(held.total)
    train = case.workload.train
    return Memory(
        weights_bytes=weights(case, held),
        gradients_bytes=gradients(case, held) if train else none,
        optimizer_bytes=optimizer(case, held) if train else none,
        activations_bytes=in_training(case) if train else working_set(case),
        kv_cache_bytes=none if train else kv_cache(case),
        other_bytes=outside(case) + temporary(case, held),
    )


def allocated(case: Case, held: Counts) -> Array:
    """What a framework's allocator hands out at the peak (torch.cuda.max_memory_allocated): nothing outside of it."""
    return memory(case, held).total_bytes - outside(case)


def outside(case: Case) -> Array:
    """What no allocator of the framework counts: the device's context, and buffers of communicators."""
    return OTHER_BYTES[case.workload.kind] + extra_bytes(case)


def reserved(case: Case, held: Counts) -> Array:
    """What the allocator has taken from the device by then (torch.cuda.max_memory_reserved): blocks of a layer are too small for
    the loss's, and stay beside them.
    """
    return RESERVED_SHARE * (allocated(case, held) + np.minimum(*passing(case)))


def temporary(case: Case, held: Counts) -> Array:
    """What lives only at the peak of a step: gathered layers, or one layer's gradients in the precision of its weights."""
    if not case.workload.train or zero(case, 3):
        return gathered(case, held) + pooled(case, held) + WORKSPACE_BYTES * case.workload.train
    gradients = case.running.largest(lambda block: block_weights(block, case.tp)[0])
    return WORKSPACE_BYTES + case.activation_bytes * gradients * trained.share(case)


def sharded(case: Case, held: Counts, from_stage: int) -> Array:
    """Parameters of a rank after ZeRO of at least `from_stage` has cut them over its data-parallel ranks."""
    return cut(case, held.dense, held.moe, from_stage)


def cut(case: Case, dense: Array, moe: Array, from_stage: int) -> Array:
    """What is left of both classes where ZeRO of at least `from_stage` cuts them."""
    if not zero(case, from_stage):
        return dense + moe
    ranks, of_experts = (np.maximum(1, size / case.copies) for size in (case.adp * case.cp, case.edp))
    return np.asarray(dense / ranks + moe / of_experts)


def zero(case: Case, stage: int) -> bool:
    """Whether ZeRO `stage` is on; the distributed optimizer is stage 1."""
    chosen = max(case.workload.zero_stage, int(case.workload.distributed_optimizer))
    return case.workload.train and chosen >= stage


def of_masters(case: Case) -> bool:
    """Whether ZeRO-3 shards the FP32 weights themselves."""
    return zero(case, 3) and case.shards_masters


def between(case: Case) -> NDArray[np.bool_]:
    """Where such a stage stays whole between its micro-batches, weights and gradients: under pipeline parallelism."""
    return np.asarray(case.pp > 1) & of_masters(case)


def weights(case: Case, held: Counts) -> Array:
    if not case.workload.train:
        return held.dense_bytes + held.moe_bytes + towers(case) - on_host(case, held)
    kept = 0 * held.total if of_masters(case) else cut(case, held.dense_bytes, held.moe_bytes, 3)
    return kept + narrow_copies(case, held) + trained.added(case, held)


def on_host(case: Case, held: Counts) -> Array:
    """Bytes of a server's weights that are in the host's memory."""
    return np.minimum(case.host_bytes, held.dense_bytes + held.moe_bytes)


def towers(case: Case) -> Array:
    """What reads images or sound, whole and wide on every rank of the first stage (vLLM --mm-encoder-tp-mode data, its usual way for
    towers that tp does not divide); training plans are of the language model.
    """
    return case.stages.first * case.activation_bytes * sum(case.model.towers.values())


def narrow_copies(case: Case, held: Counts) -> Array:
    """One of each matrix that is kept wide and multiplied in FP8 or FP4: Transformer Engine makes it in a step's first
    micro-batch and keeps it for the others (`module/base.py`, get_weight_workspace). A transposed one, which kernels before
    Blackwell's read too, is not counted: no run that was measured tells whether it is kept.
    """
    width = SAVED_BYTES.get(case.workload.precision)
    if width is None or not case.narrow_inputs or case.workload.states.weights is not None:
        return 0 * held.total
    tables = np.minimum(_tables(case), held.dense)
    return width * (1 - case.wide_share) * cut(case, held.dense - tables, held.moe, 3)


def _tables(case: Case) -> Array:
    """Weights of the embedding and of the head that a rank holds."""
    return (case.stages.first + case.stages.last) * ceil_div(case.padded_vocab_size, case.tp) * case.model.hidden_size


def gradients(case: Case, held: Counts) -> Array:
    own = trained.trained(case, held)
    return case.gradient_bytes * np.where(between(case), own.total, sharded(case, own, 2))


def optimizer(case: Case, held: Counts) -> Array:
    """What the optimizer keeps; what is offloaded is the host's."""
    kept = states.of_optimizer(case) * updated(case, held) + besides(case, held)
    return (1 - case.workload.optimizer_offload) * kept


def besides(case: Case, held: Counts) -> Array:
    """Second moments of what Adam updates where Muon updates the rest: embedding and head."""
    tables = np.minimum(_tables(case), held.dense) * (case.workload.lora_rank is None)
    return states.besides(case) * cut(case, tables, 0 * tables, 1)


def updated(case: Case, held: Counts) -> Array:
    """Parameters of a rank that its optimizer updates."""
    return sharded(case, trained.trained(case, held), 1)


def update_bytes(case: Case, held: Counts) -> Array:
    """Memory traffic of the optimizer's update of a rank."""
    own = trained.trained(case, held)
    gradients = case.gradient_bytes * sharded(case, own, 2)
    return states.updated(case) * sharded(case, own, 1) + gradients + 2 * besides(case, held)


def gathered(case: Case, held: Counts) -> Array:
    """What ZeRO-3 holds beside its shards: the whole of a few layers, and of the embedding and the head."""
    if not zero(case, 3):
        return np.zeros_like(held.total)
    tables = np.minimum(_tables(case), held.dense)
    part = np.where(between(case), 1.0, np.minimum(1, GATHERED_LAYERS / np.maximum(case.running.layers, 1)))
    own = 0.0 if of_masters(case) else sharded(case, held, 3) / np.maximum(held.total, 1)
    return case.activation_bytes * (tables + (held.total - tables) * part) * (1 - own)


def pooled(case: Case, held: Counts) -> Array:
    """What Megatron-FSDP keeps at hand on request (megatron_fsdp/param_and_grad_buffer.py): buffers for the gradients of two layers, beside
    those of the two that are gathered in any run; and a transposed copy of FP8 weights once they have been gathered, of all layers.
    """
    matrices = (held.total - np.minimum(_tables(case), held.dense)) * zero(case, 3)
    part = np.minimum(1, GATHERED_LAYERS / np.maximum(case.running.layers, 1))
    return matrices * (case.double_buffer * case.gradient_bytes * part + case.kept_transposes * SAVED_BYTES["fp8"])


def cached_bytes(case: Case, block: Block, entries: Callable[[Cache], Array]) -> Array:
    """Bytes of a sequence's keys and values on a TP rank, where so many entries of a cache count: grouped heads, replicated where tp
    exceeds them, or latents, as a server packs them.
    """
    sizes = [case.kv_bytes * local(cache.parts, np.maximum(1, case.tp // case.cached.alike)) for cache in block.caches]
    if block.kind == "sparse_latent":
        row, index = case.cached.row, case.cached.index
        sizes = [
            sizes[0] if row is None else row + 0 * case.tp,
            *(index + 0 * case.tp if index else size for size in sizes[1:]),
        ]
    found = (size * entries(cache) for size, cache in zip(sizes, block.caches, strict=True))
    return np.asarray(sum(found, 0.0 * case.tp))


def kv_cache(case: Case) -> Array:
    """KV cache and states of all sequences of a rank at their longest; a layer with a window keeps no more than that. Layers that draft
    have a cache like others (vLLM and SGLang build theirs for the draft model too).
    """
    length, layers = case.workload.longest + case.workload.output_length, case.stages.with_mtp(case.model.moe)
    cached = layers.sum(lambda block: cached_bytes(case, block, lambda cache: cache.entries(length)))
    states = layers.sum(lambda block: local(block.state, case.tp))
    return case.sequences * (cached / (case.cached.shards or case.cp) + states)
