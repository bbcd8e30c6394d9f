"""Seconds and bytes of one collective: an alpha-beta model with NVLink inside and the network between domains.

The payload is the whole message: what all_reduce sums, what all_gather ends with, reduce_scatter starts from, a rank
hands to all_to_all, or send_recv passes on. n ranks lie in k domains, g = n/k in each. Inner and outer transfers are
pipelined, so the slower one counts: 4 nodes of B200 reach in all_reduce what their network cards alone give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.constants import COLLECTIVE_LAUNCH_S, PEER_S
from compiler.costs.links import Reach, inner, outer
from compiler.specs.hardware import Hardware

if TYPE_CHECKING:
    from compiler.costs.calibration import GpuCalibration, LinkCurve

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv")
PASSES = {"all_reduce": 2, "all_gather": 1, "reduce_scatter": 1}
"""all_reduce is reduce_scatter and all_gather."""

MEASURED_AS = {
    "all_reduce": ("all_reduce", "reduce_scatter", "all_gather"),
    "all_gather": ("all_gather", "reduce_scatter", "all_reduce"),
    "reduce_scatter": ("reduce_scatter", "all_gather", "all_reduce"),
    "all_to_all": ("all_to_all", "all_gather", "reduce_scatter", "all_reduce"),
    "send_recv": ("all_to_all", "all_gather", "reduce_scatter", "all_reduce"),
}
"""Whose curve an operation takes, the first that there is: point to point as all_to_all between two."""


def wire_bytes(op: str, payload: Array, size: Array | int) -> Array:
    """Bytes that a rank sends; 0 in a group of one."""
    sent = payload if op == "send_recv" else PASSES.get(op, 1) * (array(size) - 1) / size * payload
    return np.where(array(size) > 1, sent, 0.0)


def kept(copies: int, groups: Array | int) -> Array:
    """Part of a token's copies that is left where each of `groups` gets one at most: with n of them n(1 - (1 - 1/n)^k)/k."""
    count = array(groups)
    return count * (1 - (1 - 1 / count) ** copies) / copies if copies else np.ones_like(count)


def link(gpu: GpuCalibration, op: str) -> LinkCurve | None:
    """The curve of an operation, or of the nearest one that was measured; None where none was."""
    found = next((name for name in MEASURED_AS[op] if name in gpu.links), None)
    if found is None:
        return None
    curve = gpu.links[found]
    return curve if found == MEASURED_AS[op][0] else curve.in_the_place_of(PASSES.get(op, 1) / PASSES.get(found, 1))


def seconds(
    op: str, payload: Array, reach: Reach, hardware: Hardware, gpu: GpuCalibration | None = None, copies: int = 0
) -> Array:
    """Seconds of one call on the worst group, shape of `payload`; 0 in a group of one. Within one NVLink domain by the
    measured curve, where there is one. `copies` of a token in the payload are sent once to each domain, and in it to
    each rank.
    """
    near, far = _shares(op, reach)
    near, far = near * kept(copies, reach.size), far * kept(copies, reach.domains)
    up, out = inner(hardware, op, array(reach.size) / reach.domains), outer(hardware, reach.span)
    transfer = np.maximum(near / up.bandwidth, far / out.bandwidth) * payload
    near_hops, far_hops = _hops(op, reach)
    waiting = near_hops * up.latency + far_hops * out.latency
    peers = PEER_S * (array(reach.size) - 1) if op == "all_to_all" else 0.0
    spent = COLLECTIVE_LAUNCH_S + waiting + peers + transfer
    curve = link(gpu, op) if gpu else None
    if curve and hardware.nvlink.domain_gpus > 1:
        size = array(reach.size)
        whole = payload * kept(copies, reach.size)
        sent = wire_bytes(op, whole, reach.size)
        within = curve.seconds(whole, sent, np.maximum(size, 2.0), hardware.nvlink.bandwidth)
        spent = np.where(array(reach.domains) == 1, within, spent)
    return np.where(array(reach.size) > 1, spent, 0.0)


def _shares(op: str, reach: Reach) -> tuple[Array, Array]:
    """Parts of the payload that a rank sends within its domain and out of it."""
    n, k = array(reach.size), array(reach.domains)
    g = n / k
    if op == "send_recv":
        return array(k == 1), array(k > 1)
    if op == "all_to_all":
        return (g - 1) / n, (n - g) / n
    passes = PASSES[op]
    return passes * (g - 1) / g, passes * (k - 1) / k / g


def _hops(op: str, reach: Reach) -> tuple[Array, Array]:
    """Latencies in a row, within a domain and between domains: trees for reductions, all peers at once for all_to_all."""
    k = array(reach.domains)
    g = array(reach.size) / k
    if op == "send_recv":
        return array(k == 1), array(k > 1)
    if op == "all_to_all":
        return array(g > 1), array(k > 1)
    return PASSES[op] * np.ceil(np.log2(g)), PASSES[op] * np.ceil(np.log2(k))
