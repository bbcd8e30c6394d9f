"""What training frameworks do in their own way, as their costs have it."""

from __future__ import annotations

from compiler.specs.config import Framework
from compiler.specs.workload import Workload

LOSS_CHUNKS = {"torchtitan": 8.0}
"""Parts in which the head's logits are made, used and dropped (ChunkedLossWrapper of all that torchtitan 0.3 registers)."""


def rebuilt(workload: Workload, framework: str = "none") -> tuple[str, ...]:
    """What selective recomputation runs again: what is asked for, else the framework's own selection."""
    if not workload.train or workload.recompute != "selective":
        return ()
    own = "products" if framework == "torchtitan" else "core_attn"
    return tuple(sorted(workload.recompute_modules)) or (own,)


WIDE_INPUTS = ("deepspeed", "maxtext", "torchtitan")
"""Frameworks whose FP8 layers keep what they read as it was given, and quantise it once more for the gradient (torchao's Float8Linear)."""

PLAIN_LOSS = ("deepspeed", "torchtitan")
"""Frameworks whose loss passes over the logits in steps of its own, for all that they are told here."""

LOSS_FUSION = "--cross-entropy-loss-fusion"
"""What Megatron-LM has to be given to fuse it."""


def fuses_loss(framework: Framework) -> bool:
    """Whether a plan's cross entropy is one kernel, as it is launched."""
    if framework.name == "megatron":
        return LOSS_FUSION in framework.args
    return framework.name not in PLAIN_LOSS


def pipelines_tp(framework: Framework) -> bool:
    """Whether hidden states are gathered and scattered beside their products, as a plan is launched: torchtitan's async TP."""
    asked = [word.replace("-", "_") for word in framework.args]
    return framework.name == "torchtitan" and "__compile.enable_async_tensor_parallel" in asked
