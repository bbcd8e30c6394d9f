"""What training keeps of each weight, and how wide: the weight itself, its gradient, and the optimizer's copies."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Optional

from compiler.specs.fields import choice


@dataclass(frozen=True)
class States:
    """Precisions. `weights`: of matrices, as they are kept and gathered (None: as wide as activations); `gradients`: as they
    are added up and reduced; `masters`: the copy that the optimizer updates; `exp_avg`, `exp_avg_sq`: Adam's moments.
    """

    weights: Optional[str] = choice(("fp8", "fp4"), None)
    gradients: str = choice(("fp32", "bf16"), "fp32")
    masters: str = choice(("fp32", "fp16"), "fp32")
    exp_avg: str = choice(("fp32", "fp16", "bf16", "fp8"), "fp32")
    exp_avg_sq: str = choice(("fp32", "fp16", "bf16", "fp8"), "fp32")

    @property
    def of_optimizer(self) -> bool:
        """Whether the optimizer keeps any of its own otherwise than in FP32."""
        return (self.masters, self.exp_avg, self.exp_avg_sq) != ("fp32",) * 3

    @property
    def changed(self) -> dict[str, str]:
        """Those that are not as usual."""
        found = {item.name: (item.default, getattr(self, item.name)) for item in fields(self)}
        return {name: value for name, (usual, value) in found.items() if value != usual}
