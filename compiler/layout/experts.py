"""Experts to expert-parallel ranks: contiguous blocks of one MoE layer's ids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from compiler.layout.stages import Stages, span


@dataclass(frozen=True)
class ExpertBlocks:
    """blocks[ep] = (first, last), inclusive ids of the experts on that ep rank; empty for a dense model.

    `stages[pp]` says whether a stage has a MoE layer at all.
    """

    blocks: tuple[tuple[int, int], ...]
    stages: tuple[bool, ...]

    def label(self, pp: int, ep: int) -> str:
        """The `experts` column of a rank, empty where its stage has no MoE layer."""
        if not self.stages[pp] or not self.blocks:
            return ""
        first, last = self.blocks[ep]
        return span(first, last) if first <= last else ""


def contiguous(num_experts: int, ep: int, moe_layers: tuple[bool, ...], stages: Stages) -> ExpertBlocks:
    """Cut ids 0 .. num_experts-1 into `ep` blocks; where ep does not divide them the first blocks hold one more."""
    if num_experts == 0:
        return ExpertBlocks((), (False,) * stages.pp)
    base, extra = divmod(num_experts, ep)
    starts = [rank * base + min(rank, extra) for rank in range(ep + 1)]
    blocks = tuple((first, after - 1) for first, after in pairwise(starts))
    return ExpertBlocks(blocks, tuple(any(moe_layers[i] for i in layers) for layers in stages.layers))
