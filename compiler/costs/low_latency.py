"""Dispatch and combine by DeepEP's low-latency kernels: every rank writes to every other one directly, without a copy a node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array
from compiler.costs.case import Case
from compiler.costs.forward import Forward
from compiler.costs.shape import Shape

RANKS = (8, 16, 32, 64, 128, 256)
DISPATCH_S = (77e-6, 118e-6, 155e-6, 173e-6, 192e-6, 194e-6)
COMBINE_S = (114e-6, 195e-6, 273e-6, 314e-6, 369e-6, 360e-6)
"""Seconds for 128 tokens of 7,168 in FP8 (BF16 back) to 8 experts each, by ranks of an EP group (DeepEP V1, H800, 50 GB/s)."""

TABLE_PAIRS, TABLE_HIDDEN, TABLE_BANDWIDTH = 128 * 8, 7168, 50e9

LATENCY_SHARE = 0.25
"""Part of these times that does not shrink with the message (assumed)."""


def applies(plan: Shape, forward: Forward) -> NDArray[np.bool_]:
    """In decode, where a plan asks for it and its EP groups leave an NVLink domain; shape of degrees."""
    case = plan.case
    if not (case.workload.low_latency_dispatch and forward.phase == "decode" and case.model.moe):
        return np.asarray(False)
    return array(plan.reaches["ep"].domains) > 1


def seconds(case: Case, forward: Forward) -> Array:
    """Dispatch and combine of all MoE layers of a stage, arrays over stages."""
    ranks = np.log(np.asarray(case.ep, dtype=float))
    table = sum(np.exp(np.interp(ranks, np.log(RANKS), np.log(values))) for values in (DISPATCH_S, COMBINE_S))
    pairs = forward.routed * case.model.num_experts_per_tok * case.workload.imbalance
    message = pairs * case.model.hidden_size / (TABLE_PAIRS * TABLE_HIDDEN)
    nic = case.hardware.nic
    slower = TABLE_BANDWIDTH / (nic.per_node * nic.bandwidth / case.hardware.node.gpus)
    each = table * (LATENCY_SHARE + (1 - LATENCY_SHARE) * message * slower)
    return np.asarray(case.running.moe * each)
