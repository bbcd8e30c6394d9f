"""Bytes that training keeps of a weight beside it, and moves to update it."""

from __future__ import annotations

from compiler.costs.case import Case
from compiler.costs.constants import ACCUMULATED_PASSES, GRADIENT_PASSES, STATE_BYTES, WRITTEN_BYTES

SECOND_MOMENT = {"adam": 1.0, "muon": 0.0, "sgd": 0.0}
"""Whether an optimizer keeps one of what it updates itself."""


def moments(case: Case) -> float:
    """Bytes of the optimizer's moments of a weight, two of Adam."""
    states = case.workload.states
    return STATE_BYTES[states.exp_avg] + SECOND_MOMENT[case.workload.optimizer] * STATE_BYTES[states.exp_avg_sq]


def besides(case: Case) -> float:
    """Bytes of the second moment that Adam keeps of a weight that Muon leaves to it."""
    return STATE_BYTES[case.workload.states.exp_avg_sq] * (case.workload.optimizer == "muon")


def of_optimizer(case: Case) -> float:
    """Bytes that the optimizer keeps of a weight: its moments, and a master copy of narrower weights."""
    wide = case.activation_bytes >= STATE_BYTES["fp32"]
    return moments(case) + (0.0 if wide else STATE_BYTES[case.workload.states.masters])


def updated(case: Case) -> float:
    """Memory traffic of the update of a weight: its gradient, copies and moments that are read and written, and the weight."""
    copies = STATE_BYTES[case.workload.states.masters] + moments(case)
    return GRADIENT_PASSES * case.gradient_bytes + 2 * copies + WRITTEN_BYTES


def accumulated(case: Case) -> float:
    """Memory traffic of a weight whose gradient a micro-batch adds to; unfused it is written as wide as activations, and read again."""
    apart = 0.0 if case.workload.fused_accumulation else 2 * case.activation_bytes
    return ACCUMULATED_PASSES * case.gradient_bytes + apart
