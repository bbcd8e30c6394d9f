"""How long a pipeline of unequal stages waits, in closed form: what a replay of its schedule comes to, for many plans at once.

Exact where stages are equal. A stage waits until the first micro-batch reaches it, for the stages behind it as far as its
own forward passes do not fill the time, likewise at the end; the stage that ends last decides. Interleaved schedules come
to between that and what the stages' sum gives; the weights of zero bubble and DualPipe are fitted to replays.
"""

from __future__ import annotations

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.constants import (
    DUALPIPE_BEFORE,
    DUALPIPE_BEHIND,
    DUALPIPE_SHARE,
    INTERLEAVED_BETWEEN,
    WEIGHT_SHARE,
    ZERO_BUBBLE_SHARE,
    ZERO_BUBBLE_SLACK,
)


def bubble(name: str, forward: Array, backward: Array, vpp: Array, micro_batches: Array) -> Array:
    """Seconds that a step lasts beyond the slowest stage's own work, shape [...] of [..., stages]; `vpp` and `micro_batches`
    have the shape of the result. `forward` and `backward`: seconds of one micro-batch on each pipeline rank.
    """
    total, many = forward + backward, micro_batches[..., None]
    slowest = total.max(axis=-1)
    if total.shape[-1] == 1:
        return np.zeros_like(slowest)
    if name == "zero_bubble":
        started = _started(forward, backward, micro_batches) - micro_batches * slowest
        return np.asarray(np.maximum(_zero_bubble(total), started))
    if name == "dualpipe":
        return _dualpipe(mirrored(total), many)
    one, more = _one_chunk(forward, backward, many), _chunks(forward, backward, vpp[..., None], many)
    ends = np.where(vpp[..., None] > 1, more, one).max(axis=-1) - micro_batches * slowest
    summed = (total.sum(axis=-1) - slowest) / vpp
    return np.asarray(np.where(vpp > 1, (1 - INTERLEAVED_BETWEEN) * ends + INTERLEAVED_BETWEEN * summed, ends))


def mirrored(total: Array) -> Array:
    """Seconds of one micro-batch on a rank that holds a stage and the mirrored one, half of the micro-batches each."""
    found: Array = (total + total[..., ::-1]) / 2
    return found


def _before(values: Array) -> Array:
    """Sum over the stages before each."""
    return np.asarray(np.cumsum(values, axis=-1) - values)


def _behind(values: Array) -> Array:
    """Sum over the stages behind each."""
    return np.asarray(values.sum(axis=-1, keepdims=True) - np.cumsum(values, axis=-1))


def _one_chunk(forward: Array, backward: Array, micro_batches: Array) -> Array:
    """1F1B: when each stage's last operation lets the step end."""
    total, stages = forward + backward, forward.shape[-1]
    deep = stages - 1 - np.arange(stages)
    warm, behind = np.minimum(deep, micro_batches - 1), _behind(total)
    first, last = np.maximum(0, behind - warm * forward), np.maximum(0, behind - warm * backward)
    waits = np.where(micro_batches > deep, first + last, np.maximum(first, last))  # with few there is only one wait
    return np.asarray(micro_batches * total + _before(total) + waits)


def _chunks(forward: Array, backward: Array, vpp: Array, micro_batches: Array) -> Array:
    """Interleaved, the same; forward passes of `warm` + 1 chunks come before the first backward one."""
    stages = forward.shape[-1]
    behind = stages - 1 - np.arange(stages)
    warm = np.minimum(2 * behind + (vpp - 1) * stages, micro_batches * vpp - 1)
    whole, back = forward.sum(axis=-1, keepdims=True), backward.sum(axis=-1, keepdims=True)
    rounds = (vpp - 1) * np.maximum(stages * forward.max(axis=-1, keepdims=True), whole)
    first = (rounds + whole + _behind(backward) - _before(forward) - (warm + 1) * forward) / vpp
    last = np.maximum(0, _behind(forward + backward) - 2 * behind * backward)
    last = (last + (vpp - 1) * np.maximum(0, back - stages * backward)) / vpp
    total = forward + backward
    return np.asarray(micro_batches * total + _before(total) / vpp + np.maximum(0, first) + last)


def _zero_bubble(total: Array) -> Array:
    stages, slowest = total.shape[-1], total.max(axis=-1)
    others = total.sum(axis=-1) - slowest
    waits = np.maximum(0, others - ZERO_BUBBLE_SLACK * ((stages - 1) * slowest - others))
    return np.asarray(ZERO_BUBBLE_SHARE * waits)


def _started(forward: Array, backward: Array, micro_batches: Array) -> Array:
    """Zero bubble with few micro-batches: all of them through all stages and back, then the last gradient of weights."""
    half = (1 - WEIGHT_SHARE) * backward
    through = forward + half
    return np.asarray(through.sum(axis=-1) + (micro_batches - 1) * through.max(axis=-1) + (backward - half)[..., 0])


def _dualpipe(total: Array, micro_batches: Array) -> Array:
    """Of one half of the ranks; the other one mirrors it."""
    half = total[..., : -(-total.shape[-1] // 2)]
    index = np.arange(half.shape[-1])
    behind = DUALPIPE_BEHIND * _behind(half) - (DUALPIPE_BEHIND - 1) * (half.shape[-1] - 1 - index) * half
    before = DUALPIPE_BEFORE * _before(half) - (DUALPIPE_BEFORE - 1) * index * half
    waits = DUALPIPE_SHARE * (np.maximum(0, before) + np.maximum(0, behind))
    slowest = half.max(axis=-1)
    return np.asarray((micro_batches * half + waits).max(axis=-1) - micro_batches[..., 0] * slowest)
