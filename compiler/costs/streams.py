"""What hyper-connections keep for backward beside a layer: the streams that each block reads, and what it puts out."""

from __future__ import annotations

from compiler.costs import kept
from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.work.forward import Forward

BLOCKS = 2
"""Of a layer: attention and what follows it, each with connections of its own."""


def stored(case: Case, forward: Forward) -> Array:
    """Bytes of a micro-batch on each stage: of each block n hidden states, and one that it puts out. Where they run again the
    streams follow from what blocks put out, which then are what is counted as their inputs (2512.24880, section 4.3.2).
    """
    streams = case.model.streams
    if streams == 1 or "mhc" in case.rebuilt:
        return 0.0 * case.running.layers
    return BLOCKS * (streams + 1) * case.running.layers * kept.layer_input(case, forward)
