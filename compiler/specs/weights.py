"""How a checkpoint stores its weights: class by class, where it is quantised."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice, numbers
from compiler.specs.limits import WIDTH

CLASSES = ("embedding", "head", "attention", "mlp", "shared_experts", "experts")
"""Classes of weights that may be stored in a form of their own; routers, norms and biases never are."""

WIDE = ("fp32", "bf16", "fp16")
"""Precisions of activations that nobody has quantised."""

NARROW = ("fp8", "mxfp8", "fp4", "nvfp4", "int8")
"""Formats that activations may be quantised to for a product."""


CACHES = ("fp8", "nvfp4", "int8")
"""Formats of cached keys and values that a checkpoint may have scales for."""


@dataclass(frozen=True)
class Stored:
    """How a class of weights is stored."""

    scheme: str = MISSING
    """What the format is called."""
    bits: float = between(0.25, 64)
    """Of a weight, its share of scales and zero points among them."""
    activations: Optional[str] = choice(NARROW, None)
    """What activations are quantised to for its products; null where they stay wide and weights are widened."""
    block: Optional[list[int]] = numbers(1, WIDTH, 2, None)
    """Rows and columns of a matrix that share a scale; null where it is a whole channel or matrix."""

    @property
    def width(self) -> float:
        """Bytes of a weight."""
        return self.bits / 8


@dataclass(frozen=True)
class Quantization:
    """How a checkpoint stores its weights."""

    method: Optional[str] = None
    """What the checkpoint calls it; null where it is not quantised."""
    # Stored, once it is read: frozen values of a mapping take no override
    weights: dict[str, Any] = field(default_factory=dict)
    """Class of weights -> its form; `model.dtype` for the others."""
    kv_cache: Optional[str] = choice(CACHES, None)
    """The format that it asks to have keys and values cached in; null where it does not say."""
