"""What of a rank's weights is trained: all of them, or low-rank adapters beside weights that are frozen (LoRA, 2106.09685).

Adapters are beside every product of attention and MLPs, experts' too, and cut over tp as the product is, in both of their matrices
(Megatron-Bridge peft/lora.py: linear_qkv, linear_proj, linear_fc1 and linear_fc2; of MLA its down and up projections). What stands in attention's place has them alike (assumed).
"""

from __future__ import annotations

from dataclasses import replace

from compiler.blocks.block import Block, whole
from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.work.params import Counts, matrices
from compiler.specs.model import Model


def trained(case: Case, held: Counts) -> Counts:
    """Of the fullest rank of each stage."""
    rank = case.workload.lora_rank
    if rank is None:
        return held
    model, running = case.model, case.running
    dense = running.sum(lambda block: _beside(block) / case.tp)
    experts = running.moe * case.local_experts * _expert(model) / case.etp * model.moe
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


def _beside(block: Block) -> float:
    """Widths that the products of a block read and put out, of one rank; a router has no adapter."""
    found = (matrix for matrix in block.matrices if matrix.role != "router")
    return sum(whole((matrix.rows,)) + whole(matrix.columns) for matrix in found)


def _expert(model: Model) -> float:
    """The same of an expert: gate and up are one product."""
    return 2 * model.expert_hidden + matrices(model) * model.expert_size
