"""Floating-point operations: of the model, which MFU counts, and of one rank.

Megatron-LM's convention: a forward pass is 2 FLOPs for a weight and token, attention is causal, backward is twice forward.
"""

from __future__ import annotations

import numpy as np

from compiler.blocks.block import Block, local
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.case import Case
from compiler.costs.constants import BACKWARD_RATIO
from compiler.costs.trained import share
from compiler.costs.work.forward import Forward
from compiler.costs.work.params import ONE, Totals, chosen_fraction, dense, experts
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


def core(case: Case, forward: Forward) -> Array:
    """The attention core of a rank, arrays over stages: scores and weighted values, without projections."""
    return case.running.sum(lambda block: forward.tokens * mixed(block, case.tp, forward))


def mixed(block: Block, tp: Array, forward: Forward) -> Array:
    """FLOPs of a token on a rank where it meets others: scores and weighted values of all that it meets, or the scan of a state.
    MLA in decode works on the latent instead of the keys and values.
    """
    found = 2 * local(block.scan, tp)
    for score in block.scores:
        width = score.decode if forward.phase == "decode" else score.width
        found = found + 2 * ceil_div(score.heads, tp) * width * forward.met(score.limit, score.every)
    return np.asarray(found)


def model_forward_per_token(model: Model, whole: Totals, length: float, train: bool) -> float:
    """Forward FLOPs of one token of a causal sequence, whatever the degrees; the larger of declared and derived counts."""
    main = layers(model, (tuple(range(model.num_hidden_layers)),))
    running = main.with_mtp(model.moe) if train else main
    _, linear = dense(model, main, ONE, array(model.vocab_size), train)
    routed = experts(model, running.moe, array(model.num_experts), ONE)
    used = whole.dense if whole.dense > whole.derived_dense else float(linear[0])
    used += (whole.moe if whole.moe > whole.derived_moe else float(routed[0])) * chosen_fraction(model)
    seen = Forward.of_length("train", length)
    return 2 * used + float(running.sum(lambda block: mixed(block, ONE, seen))[0])


def model_step(case: Case, whole: Totals) -> float:
    """Model FLOPs of a training step over all ranks; recomputation is not counted, nor gradients of frozen weights (two thirds are
    left, as Megatron-Bridge counts them).
    """
    length = float(case.workload.longest)
    tokens = case.workload.global_batch_size * length
    return (BACKWARD_RATIO + share(case)) * model_forward_per_token(case.model, whole, length, train=True) * tokens
