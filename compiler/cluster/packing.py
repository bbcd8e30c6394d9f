"""Blocks of slots that talk to each other, for whoever binds slots to hosts."""

from __future__ import annotations

from compiler.frozen import dataclass


@dataclass(frozen=True)
class Blocks:
    """`slots` in an order in which those that talk to each other stand side by side; `sizes` of blocks of them, larger ones first, each
    made of those of the next.
    """

    slots: tuple[int, ...]
    sizes: tuple[int, ...]
