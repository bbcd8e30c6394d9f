"""What the model is run for: training steps, or prefill and decode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import at_least, choice, numbers
from compiler.specs.model import BYTES


@dataclass(frozen=True)
class Workload:
    """Batches are in sequences, lengths in tokens; `imbalance` is busiest over mean expert load. Without `fused_attention`
    the scores of all pairs of tokens are kept.
    """

    kind: str = choice(("train", "serve"))
    global_batch_size: int = at_least(1)
    micro_batch_size: int = at_least(1, 1)
    sequence_length: Optional[int] = at_least(1, None)
    sequence_lengths: list[int] = numbers(1)
    output_length: int = at_least(1, 1)
    precision: str = choice(tuple(BYTES), "bf16")
    recompute: str = choice(("none", "selective", "full"), "none")
    sequence_parallel: Optional[bool] = None
    distributed_optimizer: bool = True
    zero_stage: int = field(default=0, metadata={"minimum": 0, "maximum": 3})
    schedule: str = choice(("1f1b", "interleaved", "zero_bubble", "dualpipe"), "1f1b")
    imbalance: float = at_least(1, 1.0)
    fused_attention: bool = True
    pools: Any = None
    assumed: list[str] = field(default_factory=list)

    @property
    def train(self) -> bool:
        return self.kind == "train"

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that the plan must hold."""
        return self.sequence_length or 1 if self.train else max(self.sequence_lengths, default=1)
