"""Bytes that training keeps of a weight beside it, and moves to update it."""

from __future__ import annotations

from compiler.costs.case import Case
from compiler.costs.constants import ACCUMULATED_PASSES, GRADIENT_PASSES, STATE_BYTES

WRITTEN_BYTES = 2.0
"""Of a weight that the optimizer writes for the next forward pass."""


def moments(case: Case) -> float:
    """Bytes of Adam's two moments of a weight."""
    states = case.workload.states
    return STATE_BYTES[states.exp_avg] + STATE_BYTES[states.exp_avg_sq]


def of_optimizer(case: Case) -> float:
    """Bytes that the optimizer keeps of a weight: its moments, and a master copy of narrower weights."""
    wide = case.activation_bytes >= STATE_BYTES["fp32"]
    return moments(case) + (0.0 if wide else STATE_BYTES[case.workload.states.masters])


def updated(case: Case) -> float:
    """Memory traffic of the update of a weight: its gradient, copies and moments that are read and written, and the weight."""
    copies = STATE_BYTES[case.workload.states.masters] + moments(case)
    return GRADIENT_PASSES * case.gradient_bytes + 2 * copies + WRITTEN_BYTES


def accumulated(case: Case) -> float:
    """Memory traffic of a weight whose gradient a micro-batch adds to."""
    return ACCUMULATED_PASSES * case.gradient_bytes
