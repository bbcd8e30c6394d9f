"""Precisions: of the checkpoint against the workload's, and of products against the GPU's units."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, warned
from compiler.costs.work.widths import products
from compiler.frameworks.adapter import adapter
from compiler.invariants.registry import declared
from compiler.specs.config import Config
from compiler.specs.weights import CLASSES, WIDE

UNITS = {"fp8": "fp8", "mxfp8": "fp4", "fp4": "fp4", "nvfp4": "fp4"}
"""Format of a product -> the peak that a GPU with units for it has; scaled ones (MX) came with those of FP4."""


@declared("checkpoint-precision")
def checkpoint(config: Config) -> Iterator[Check]:
    """A checkpoint's own quantisation decides how its weights are stored; a workload that says otherwise is told what is planned."""
    model, asked = config.model, config.workload.precision
    kept = model.keeps_quantization(asked)
    if config.workload.train or not model.stored or asked == model.precision or (kept and asked not in WIDE):
        return
    method = model.quantization.method
    planned = (
        f"weights as it stores them, activations in {asked}" if kept else f"another checkpoint, of {asked} weights"
    )
    yield warned(
        observed=asked,
        limit=model.precision,
        message=f"{model.name} is quantised by {method}, and workload.precision={asked}: planned with {planned}",
        fix="leave workload.precision out, or write model.quantization.method=null for a checkpoint that is not quantised",
    )


@declared("precision-units")
def units(config: Config) -> Iterator[Check]:
    """Products run in what the GPU has units for; some kernels widen narrower weights."""
    workload, gpu, model = config.workload, config.hardware.gpu, config.model
    kinds = [kind for kind in CLASSES if model.moe or kind not in ("experts", "shared_experts")]
    null = "model.quantization.method=null " * bool(model.stored and not workload.train)
    wide = "fp16" if gpu.peak_flops.bf16 is None else "bf16"
    narrow = sorted({products(model, workload, kind) for kind in kinds} & set(UNITS))
    for name in narrow:
        peak = getattr(gpu.peak_flops, UNITS[name])
        widened = adapter(config.framework.name).widens(config, name)
        rates = ", ".join(f"{key} {value:.3g}" for key, value in vars(gpu.peak_flops).items() if value is not None)
        runs = (
            "takes weights of it as they are and computes in a wider precision, as is costed"
            if widened
            else "needs them"
        )
        yield check(
            holds=peak is not None,
            observed=f"{UNITS[name]}: none" if peak is None else f"{UNITS[name]}: {peak:.3g}",
            limit=f"units for {name}",
            message=f"{gpu.name} has no units for {name} (hardware.gpu.peak_flops: {rates} FLOP/s), and {config.framework.name} {runs}",
            fix=f"take hardware whose GPU has them, or write {null}workload.precision={wide}",
            otherwise=Status.WARN if widened else Status.FAIL,
        )
