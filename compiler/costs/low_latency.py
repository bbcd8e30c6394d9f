"""Dispatch and combine by DeepEP's low-latency kernels: every rank writes to every other one directly, without a copy a node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.constants import (
    DEEPEP_BANDWIDTH,
    DEEPEP_COMBINE_S,
    DEEPEP_DISPATCH_S,
    DEEPEP_HIDDEN,
    DEEPEP_LATENCY_SHARE,
    DEEPEP_PAIRS,
    DEEPEP_RANKS,
)
from compiler.costs.forward import Forward
from compiler.costs.shape import Shape


def applies(plan: Shape, forward: Forward) -> NDArray[np.bool_]:
    """In decode, where a plan asks for it and its EP groups leave an NVLink domain; shape of degrees."""
    case = plan.case
    if not (case.workload.low_latency_dispatch and forward.phase == "decode" and case.model.moe):
        return np.asarray(False)
    return array(plan.reaches["ep"].domains) > 1


def seconds(case: Case, forward: Forward) -> Array:
    """Dispatch and combine of all MoE layers of a stage, arrays over stages."""
    ranks = np.log(np.asarray(case.ep, dtype=float))
    table = sum(
        np.exp(np.interp(ranks, np.log(DEEPEP_RANKS), np.log(values)))
        for values in (DEEPEP_DISPATCH_S, DEEPEP_COMBINE_S)
    )
    pairs = forward.routed * case.model.num_experts_per_tok * case.workload.imbalance
    message = pairs * case.model.hidden_size / (DEEPEP_PAIRS * DEEPEP_HIDDEN)
    nic = case.hardware.nic
    slower = DEEPEP_BANDWIDTH / (nic.per_node * nic.bandwidth / case.hardware.node.gpus)
    each = table * (DEEPEP_LATENCY_SHARE + (1 - DEEPEP_LATENCY_SHARE) * message * slower)
    return np.asarray(case.running.moe * each)
