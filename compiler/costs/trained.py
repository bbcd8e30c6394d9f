"""What of a rank's weights is trained: all of them, or low-rank adapters beside weights that are frozen (LoRA, 2106.09685).

Adapters are beside every product of attention and MLPs, experts' too, and cut over tp as the product is, in both of their matrices
(Megatron-Bridge peft/lora.py: linear_qkv, linear_proj, linear_fc1 and linear_fc2; of MLA its down and up projections).
"""

from __future__ import annotations

from dataclasses import replace

from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.work.params import Counts, matrices, query_width, value_width
from compiler.specs.model import Model


def trained(case: Case, held: Counts) -> Counts:
    """Of the fullest rank of each stage."""
    rank = case.workload.lora_rank
    if rank is None:
        return held
    model, running = case.model, case.running
    dense = (
        running.layers * _attention(model) / case.tp + running.dense * _mlp(model, model.intermediate_size) / case.tp
    )
    if model.shared_size:
        dense = dense + running.moe * _mlp(model, model.shared_size) / case.tp
    experts = running.moe * case.local_experts * _mlp(model, model.expert_size) / case.etp * model.moe
    dense, experts, size = rank * dense + 0 * held.dense, rank * experts + 0 * held.moe, case.activation_bytes
    return replace(
        held,
        dense=dense,
        dense_gemm=dense,
        moe=experts,
        moe_gemm=experts,
        dense_bytes=size * dense,
        dense_gemm_bytes=size * dense,
        moe_bytes=size * experts,
        moe_gemm_bytes=size * experts,
    )


def added(case: Case, held: Counts) -> Array:
    """Bytes of the adapters, beside the weights."""
    if case.workload.lora_rank is None:
        return 0 * held.total
    found = trained(case, held)
    return found.dense_bytes + found.moe_bytes


def share(case: Case) -> float:
    """Whether a backward pass has a product for the gradient of a weight, beside that for the gradient of its input."""
    return float(case.workload.lora_rank is None)


def _attention(model: Model) -> float:
    """Widths that the products of one layer's attention read and put out, of one rank."""
    heads, hidden = model.num_attention_heads, model.hidden_size
    queries, out = heads * query_width(model), heads * value_width(model)
    if not model.mla:
        return hidden + queries + 2 * model.kv_heads * model.head_size + out + hidden
    latent, rope, low = model.kv_lora_rank or 0, model.qk_rope_head_dim or 0, model.q_lora_rank
    asked = hidden + queries if low is None else hidden + low + low + queries
    up = latent + heads * (query_width(model) - rope + value_width(model))
    return asked + hidden + latent + rope + up + out + hidden


def _mlp(model: Model, width: int) -> float:
    """The same of an MLP: gate and up are one product."""
    return model.hidden_size + (matrices(model) - 1) * width + width + model.hidden_size
