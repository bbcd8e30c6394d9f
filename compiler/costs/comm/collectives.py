"""Seconds and bytes of one collective: measured or assumed curves within an NVLink domain, alpha-beta between domains.

The payload is the whole message: what all_reduce sums, what all_gather ends with, reduce_scatter starts from, a rank
hands to all_to_all, or send_recv passes on. n ranks lie in k domains, g = n/k in each. Inner and outer transfers are
pipelined, so the slower one counts: 4 nodes of B200 reach in all_reduce what their network cards alone give.
"""

from __future__ import annotations

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import GpuCalibration, LinkCurve
from compiler.costs.comm.algorithms import ALGORITHMS
from compiler.costs.comm.links import Reach, inner, outer, within
from compiler.costs.constants import (
    COLLECTIVE_LAUNCH_S,
    DEEPEP_BANDWIDTH,
    DEEPEP_COMBINE_S,
    DEEPEP_DISPATCH_S,
    DEEPEP_HIDDEN,
    DEEPEP_LATENCY_SHARE,
    DEEPEP_PAIRS,
    DEEPEP_RANKS,
)
from compiler.specs.hardware import Hardware


def wire_bytes(op: str, payload: Array, size: Array | int) -> Array:
    """Bytes that a rank sends; 0 in a group of one."""
    return np.where(array(size) > 1, ALGORITHMS[op].sent(array(size)) * payload, 0.0)


def kept(copies: int, groups: Array | int) -> Array:
    """Part of a token's copies that is left where each of `groups` gets one at most: with n of them n(1 - (1 - 1/n)^k)/k."""
    count = array(groups)
    return count * (1 - (1 - 1 / count) ** copies) / copies if copies else np.ones_like(count)


def link(gpu: GpuCalibration, op: str) -> LinkCurve:
    """The curve of an operation, or of the nearest one that was measured."""
    how = ALGORITHMS[op]
    found = next(name for name in how.measured_as if name in gpu.links)
    curve = gpu.links[found]
    return curve if found == how.measured_as[0] else curve.in_the_place_of(how.passes / ALGORITHMS[found].passes)


def seconds(op: str, payload: Array, reach: Reach, hardware: Hardware, gpu: GpuCalibration, copies: int = 0) -> Array:
    """Seconds of one call on the worst group, shape of `payload`; 0 in a group of one. `copies` of a token in the payload are sent
    once to each domain, and in it to each rank.
    """
    size, domains = array(reach.size), array(reach.domains)
    near, far = ALGORITHMS[op].shares(size, domains)
    whole = payload * kept(copies, size)
    return call(op, whole, near * whole, far * kept(copies, domains) * payload, reach, hardware, gpu)


def call(
    op: str,
    whole: Array | float,
    near: Array | float,
    far: Array | float,
    reach: Reach,
    hardware: Hardware,
    gpu: GpuCalibration,
) -> Array:
    """Seconds of a message of `whole` bytes, of which a rank sends `near` within its domain while it sends `far` out of it; both
    links work at once, so that the slower one counts.
    """
    how, size, domains = ALGORITHMS[op], array(reach.size), array(reach.domains)
    bandwidth = within(hardware, size)
    inside = link(gpu, op).seconds(array(whole), array(near), np.maximum(size, 2.0), bandwidth)
    if op == "all_reduce" and gpu.joined is not None:  # an engine's own kernel, as long as it is the quicker one
        inside = np.minimum(
            inside, gpu.joined.seconds(array(0.0), array(near / bandwidth), array(1.0), array(whole), size)
        )
    up, out = inner(hardware, op, size / domains), outer(hardware, reach.span)
    near_hops, far_hops = how.hops(size, domains)
    waiting = near_hops * up.latency + far_hops * out.latency + how.peer_s * (size - 1)
    across = COLLECTIVE_LAUNCH_S + waiting + np.maximum(near / up.bandwidth, far / out.bandwidth)
    return np.where(size > 1, np.where(domains == 1, inside, across), 0.0)


def direct(elements: Array, ranks: Array, hardware: Hardware) -> Array:
    """Seconds of a dispatch and a combine between domains by DeepEP's low-latency kernels, by which every rank writes to every other
    one directly, without a copy a node. `elements`: of the tokens that a rank sends, one for each of their experts.
    """
    place, sizes = np.log(array(ranks)), np.log(DEEPEP_RANKS)
    table = sum(np.exp(np.interp(place, sizes, np.log(values))) for values in (DEEPEP_DISPATCH_S, DEEPEP_COMBINE_S))
    nic = hardware.nic
    slower = DEEPEP_BANDWIDTH / (nic.per_node * nic.bandwidth / hardware.node.gpus)
    message = elements / (DEEPEP_PAIRS * DEEPEP_HIDDEN)
    return np.asarray(table * (DEEPEP_LATENCY_SHARE + (1 - DEEPEP_LATENCY_SHARE) * message * slower))
