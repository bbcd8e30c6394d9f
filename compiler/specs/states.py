"""What training keeps of each weight, and how wide: the weight itself, its gradient, and the optimizer's copies."""

from __future__ import annotations

from dataclasses import fields
from typing import Optional

from compiler.frozen import dataclass
from compiler.specs.fields import choice


@dataclass(frozen=True)
class States:
    """Precisions of what training keeps of each weight."""

    weights: Optional[str] = choice(("fp8", "fp4"), None)
    """Of matrices, as they are kept and gathered; as wide as activations where it is null."""
    gradients: str = choice(("fp32", "bf16"), "fp32")
    """As they are added up and reduced."""
    masters: str = choice(("fp32", "fp16"), "fp32")
    """The copy that the optimizer updates."""
    exp_avg: str = choice(("fp32", "fp16", "bf16", "fp8"), "fp32")
    """Adam's first moment."""
    exp_avg_sq: str = choice(("fp32", "fp16", "bf16", "fp8"), "fp32")
    """Adam's second moment."""

    @property
    def of_optimizer(self) -> bool:
        """Whether the optimizer keeps any of its own otherwise than in FP32."""
        return (self.masters, self.exp_avg, self.exp_avg_sq) != ("fp32",) * 3

    @property
    def changed(self) -> dict[str, str]:
        """Those that are not as usual."""
        found = {item.name: (item.default, getattr(self, item.name)) for item in fields(self)}
        return {name: value for name, (usual, value) in found.items() if value != usual}
