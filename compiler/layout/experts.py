"""Experts to expert-parallel ranks, as ids of one MoE layer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from compiler.frozen import dataclass
from compiler.layout.stages import Stages, span

Block = tuple[tuple[int, int], ...]
"""Inclusive ranges (first, last) of expert ids."""


@dataclass(frozen=True)
class ExpertBlocks:
    """blocks[ep] = the experts on that ep rank; empty for a dense model.

    `stages[pp]` says whether a stage has a MoE layer at all; `redundant` are copies that a layer has beside one of each expert.
    `by_layer`: the server is started with a map that places them otherwise in each layer.
    """

    blocks: tuple[Block, ...]
    stages: tuple[bool, ...]
    redundant: int = 0
    by_layer: bool = False

    @property
    def counts(self) -> tuple[int, ...]:
        """Experts of each ep rank."""
        return tuple(sum(last - first + 1 for first, last in block) for block in self.blocks)

    def label(self, pp: int, ep: int) -> str:
        """The `experts` column of a rank, empty where its stage has no MoE layer."""
        if not self.stages[pp] or not self.blocks:
            return ""
        if self.by_layer:
            return "*"
        return label(self.blocks[ep])


def contiguous(num_experts: int, ep: int, moe_layers: tuple[bool, ...], stages: Stages) -> ExpertBlocks:
    """Cut ids 0 .. num_experts-1 into `ep` blocks; where ep does not divide them the first blocks hold one more."""
    base, extra = divmod(num_experts, ep)
    starts = [rank * base + min(rank, extra) for rank in range(ep + 1)]
    return placed((range(first, after) for first, after in pairwise(starts)), moe_layers, stages)


def placed(experts: Iterable[Iterable[int]], moe_layers: tuple[bool, ...], stages: Stages) -> ExpertBlocks:
    """Blocks from the ids of each ep rank, in ascending order; none where no layer has experts."""
    if not any(moe_layers):
        return ExpertBlocks((), (False,) * stages.pp)
    blocks = tuple(ranges(ids) for ids in experts)
    return ExpertBlocks(blocks, tuple(any(moe_layers[i] for i in layers) for layers in stages.layers))


def label(block: Block) -> str:
    """As the `experts` column writes it: `0-3;8`."""
    return ";".join(span(first, last) for first, last in block)


def ranges(ids: Iterable[int]) -> Block:
    """Ascending ids as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for expert in ids:
        if found and found[-1][1] == expert - 1:
            found[-1] = (found[-1][0], expert)
        else:
            found.append((expert, expert))
    return tuple(found)
