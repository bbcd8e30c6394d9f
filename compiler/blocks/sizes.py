"""Sizes that a block of every kind has."""

from __future__ import annotations

from typing import Optional

from compiler.blocks.block import Block, Part
from compiler.frozen import dataclass
from compiler.specs.fields import between
from compiler.specs.limits import PARAMETERS, WIDTH


def size(default: Optional[int] = None) -> int:
    """A width or a count; one without a default has to be said."""
    found: int = between(0, WIDTH, default)
    return found


@dataclass(frozen=True)
class Sizes:
    """`norms`: norms over hidden states that come with a block, of `norm_weights` weights an element. `extra`: other weights.
    Both are whole on every tp rank. `again`: its weights are those of an earlier block.
    """

    hidden: int = size()
    norms: int = between(0, 8, 1)
    norm_weights: int = between(0, 2, 1)
    extra: float = between(0, PARAMETERS, 0)
    again: bool = False

    def beside(self, inner: float = 0) -> Part:
        """Weights of its norms, `extra` ones, and `inner` more of the kind's own that are whole on every tp rank."""
        return Part(1, self.norms * self.norm_weights * self.hidden + self.extra + inner)

    def block(self) -> Block:
        """The block of these sizes."""
        raise NotImplementedError
