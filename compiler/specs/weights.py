"""How a checkpoint stores its weights: class by class, where it is quantised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, between, choice, numbers
from compiler.specs.limits import WIDTH

CLASSES = ("embedding", "head", "attention", "mlp", "shared_experts", "experts")
"""Classes of weights that may be stored in a form of their own; routers, norms and biases never are."""

WIDE = ("fp32", "bf16", "fp16")
"""Precisions of activations that nobody has quantised."""

NARROW = ("fp8", "mxfp8", "fp4", "nvfp4", "int8")
"""Formats that activations may be quantised to for a product."""


@dataclass(frozen=True)
class Stored:
    """How a class is stored: by its `scheme`, in `bits` a weight, its share of scales and zero points among them.

    `activations` are quantised to that format for its products; None: they stay wide, and the weights are widened. `block`: rows and
    columns of a matrix that share a scale; None where it is a whole channel or matrix.
    """

    scheme: str = MISSING
    bits: float = between(0.25, 64)
    activations: Optional[str] = choice(NARROW, None)
    block: Optional[list[int]] = numbers(1, WIDTH, 2, None)

    @property
    def width(self) -> float:
        """Bytes of a weight."""
        return self.bits / 8


@dataclass(frozen=True)
class Quantization:
    """`method` as the checkpoint calls it, None where it is not quantised; `weights`: class -> its form, `model.dtype` for the others.

    `kv_cache`: the format that it was calibrated to cache keys and values in.
    """

    method: Optional[str] = None
    # Stored, once it is read: frozen values of a mapping take no override
    weights: dict[str, Any] = field(default_factory=dict)
    kv_cache: Optional[str] = choice(("fp8", "nvfp4"), None)
