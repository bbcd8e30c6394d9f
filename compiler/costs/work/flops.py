"""Floating-point operations: of the model, which MFU counts, and of one rank.

Megatron-LM's convention: a forward pass is 2 FLOPs for a weight and token, attention is causal, backward is twice forward.
"""

from __future__ import annotations

from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.case import Case
from compiler.costs.constants import BACKWARD_RATIO
from compiler.costs.trained import share
from compiler.costs.work.forward import Forward, mean_keys
from compiler.costs.work.params import ONE, Totals, chosen_fraction, dense, experts, query_width, value_width
from compiler.costs.work.stages import layers
from compiler.specs.hardware import Gpu
from compiler.specs.model import Model

WIDER = {
    "fp4": ("fp4", "bf16", "fp16", "tf32", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "tf32", "fp32"),
    "bf16": ("bf16", "fp16", "tf32", "fp32"),
    "fp16": ("fp16", "bf16", "tf32", "fp32"),
    "fp32": ("fp32", "tf32"),
}
WIDER |= {"mxfp8": WIDER["fp8"], "nvfp4": WIDER["fp4"], "int8": WIDER["fp8"]}
"""Units that a precision can run on, best first: its own, else the next wider one that the GPU has. Without units of their own
FP4 weights are widened to the activations' BF16 (Marlin and Triton kernels, which vLLM and TensorRT-LLM run on Hopper). INT8 units are as fast as FP8's where a GPU has both."""


def peak_flops(gpu: Gpu, precision: str) -> float:
    """Dense peak, FLOP/s; nan where the GPU has no unit that is wide enough."""
    found = (getattr(gpu.peak_flops, unit) for unit in WIDER[precision])
    return next((float(value) for value in found if value is not None), float("nan"))


def score_width(model: Model, phase: str) -> int:
    """Multiplications of a head for a query and key. MLA in decode works on the latent instead of the keys and values."""
    if model.mla and phase == "decode":
        return 2 * (model.kv_lora_rank or 0) + (model.qk_rope_head_dim or 0)
    return query_width(model) + value_width(model)


def core(case: Case, forward: Forward) -> Array:
    """The attention core of a rank, arrays over stages: scores and weighted values, without projections."""
    heads = ceil_div(case.model.num_attention_heads, case.tp)
    keys = case.running.full * forward.keys + case.running.sliding * forward.window_keys
    return 2 * heads * score_width(case.model, forward.phase) * forward.tokens * keys


def model_forward_per_token(model: Model, whole: Totals, length: float, train: bool) -> float:
    """Forward FLOPs of one token of a causal sequence, whatever the degrees; the larger of declared and derived counts."""
    main = layers(model, (tuple(range(model.num_hidden_layers)),))
    running = main.with_mtp(model.moe) if train else main
    _, linear = dense(model, main, ONE, array(model.vocab_size), train)
    routed = experts(model, running.moe, array(model.num_experts), ONE)
    used = whole.dense if whole.dense > whole.derived_dense else float(linear[0])
    used += (whole.moe if whole.moe > whole.derived_moe else float(routed[0])) * chosen_fraction(model)
    window_keys = mean_keys(length, model.sliding_window)
    keys = float(running.full[0]) * mean_keys(length, None) + float(running.sliding[0]) * window_keys
    return 2 * used + 2 * model.num_attention_heads * (query_width(model) + value_width(model)) * keys


def model_step(case: Case, whole: Totals) -> float:
    """Model FLOPs of a training step over all ranks; recomputation is not counted, nor gradients of frozen weights (two thirds are
    left, as Megatron-Bridge counts them).
    """
    length = float(case.workload.longest)
    tokens = case.workload.global_batch_size * length
    return (BACKWARD_RATIO + share(case)) * model_forward_per_token(case.model, whole, length, train=True) * tokens
