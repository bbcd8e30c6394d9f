"""Experts and copies of them to GPUs by measured loads: how many copies of which, and which copy on which GPU, chosen together.

DeepSeek's EPLB (github.com/deepseek-ai/EPLB, and SGLang's `eplb_algorithms/deepseek.py`) first gives every copy to the expert
whose copies are the heaviest, and then deals the copies out, heaviest first. With few heavy experts the first step makes pieces
that the second cannot pair: 1.19 times the mean where 1.00 is there to be had. Here many numbers of copies are dealt out, EPLB's
among them, and the best is mended by exchanges; so it is never worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compiler.frozen import dataclass
from compiler.layout.grid import Ranks

Loads = NDArray[np.float64]

THRESHOLDS = 14
"""Sizes of a piece that are tried: an expert heavier than one is cut into pieces that are not."""
EXCHANGES = 200
"""Exchanges of two pieces that are tried after each other in a layer."""


@dataclass(frozen=True)
class Balance:
    """`slots` is the expert in each slot, shape [layers, gpus * slots of a GPU], GPU by GPU; `imbalance` busiest GPU over the mean,
    and `bound` what no placement of so many slots goes below, shape [layers].
    """

    slots: Ranks
    imbalance: Loads
    bound: Loads


def balanced(loads: Loads, slots: int, gpus: int, groups: int = 1, nodes: int = 1) -> Balance:
    """Place the experts of each layer, `loads` of shape [layers, experts], into `slots` slots of `gpus` GPUs, each as many.

    With `groups` of experts that `nodes` divide, each group stays on one node. `slots` is a multiple of `gpus` and at least
    the experts, `gpus` a multiple of `nodes`.
    """
    split = nodes > 1 and groups % nodes == 0
    found = _by_node(loads, slots, gpus, groups, nodes) if split else _placed(loads, slots, gpus)
    return Balance(found, imbalance(loads, found, gpus), _bound(loads, slots, gpus))


def imbalance(loads: Loads, slots: Ranks, gpus: int) -> Loads:
    """Load of the busiest GPU over the mean, shape [layers]; the copies of an expert share its load."""
    ranks = _pieces(loads, slots).reshape(len(loads), gpus, -1).sum(axis=2)
    return np.asarray(ranks.max(axis=1) / ranks.mean(axis=1))


def kept(slots: Ranks, before: Ranks, gpus: int, nodes: int = 1) -> Ranks:
    """The same placement with the GPUs of each node named anew, so that most experts stay where they were `before`."""
    shape = (len(slots) * nodes, gpus // nodes, -1)
    now, then = slots.reshape(shape), before.reshape(shape)
    named = [_named(here, there) for here, there in zip(now, then, strict=True)]
    return np.take_along_axis(now, np.stack(named)[:, :, None], axis=1).reshape(slots.shape)


def _named(now: Ranks, then: Ranks) -> Ranks:
    """Which GPU of a placement takes the place of each one before, pairs that share most experts first. Shape [gpus, slots] each."""
    has = np.zeros((2, len(now), int(max(now.max(), then.max())) + 1), dtype=np.float32)
    for rows, one in zip(has, (now, then), strict=True):
        np.put_along_axis(rows, one, 1.0, axis=1)
    shared = has[0] @ has[1].T
    taken, free = np.full(len(now), -1), np.ones(len(now), dtype=bool)
    for pair in np.argsort(-shared, axis=None, kind="stable").tolist():
        new, old = divmod(pair, len(now))
        if taken[old] < 0 and free[new]:
            taken[old], free[new] = new, False
    return taken


def moved(slots: Ranks, before: Ranks, gpus: int) -> int:
    """Experts that a GPU gets and did not have, over all layers: whose weights must be copied."""
    pairs = zip(slots.reshape(len(slots) * gpus, -1), before.reshape(len(slots) * gpus, -1), strict=True)
    return sum(len(np.setdiff1d(now, then)) for now, then in pairs)


def _pieces(loads: Loads, slots: Ranks) -> Loads:
    """Load of each slot."""
    layers = np.arange(len(loads))[:, None]
    copies = np.zeros(loads.shape)
    np.add.at(copies, (layers, slots), 1.0)
    return np.asarray((loads / np.maximum(copies, 1))[layers, slots])


def _bound(loads: Loads, slots: int, gpus: int) -> Loads:
    """The mean, or the heaviest piece where every copy goes against the heaviest."""
    counts = _greedy(loads, np.ones(loads.shape, dtype=np.int64), slots - loads.shape[1])
    heaviest = (loads / counts).max(axis=1)
    return np.asarray(np.maximum(1.0, heaviest / loads.sum(axis=1) * gpus))


def _placed(loads: Loads, slots: int, gpus: int) -> Ranks:
    layers, experts = loads.shape
    counts = _counts(loads, slots, gpus)
    tries = len(counts) // layers
    rows = np.repeat(loads, tries, axis=0)
    items = np.repeat(np.tile(np.arange(experts), len(rows)), counts.ravel()).reshape(len(rows), slots)
    pieces = np.take_along_axis(rows / counts, items, axis=1)
    order = np.argsort(-pieces, axis=1, kind="stable")
    items, pieces = np.take_along_axis(items, order, axis=1), np.take_along_axis(pieces, order, axis=1)
    gpu = _dealt(pieces, gpus)
    total = np.zeros((len(rows), gpus))
    np.add.at(total, (np.arange(len(rows))[:, None], gpu), pieces)
    best = total.max(axis=1).reshape(layers, tries).argmin(axis=1) + np.arange(layers) * tries
    found = np.empty((layers, slots), dtype=np.int64)
    for layer, row in enumerate(best.tolist()):
        placed = _exchanged(pieces[row], gpu[row], gpus)
        found[layer] = items[row][np.argsort(placed, kind="stable")]
    return found


def _counts(loads: Loads, slots: int, gpus: int) -> Ranks:
    """Copies of each expert, shape [layers * tries, experts], layer by layer: the first of a layer's are EPLB's."""
    layers, experts = loads.shape
    ones = np.ones(loads.shape, dtype=np.int64)
    first = _greedy(loads, ones, slots - experts)
    if slots in {gpus, experts}:  # a GPU has the one piece, or no expert a copy: nothing is left to choose
        return first
    least = (loads / first).max(axis=1)
    most = np.maximum(loads.sum(axis=1) / gpus * 1.02, least)
    steps = np.linspace(0, 1, THRESHOLDS)
    sizes = least[:, None] ** (1 - steps) * most[:, None] ** steps  # [layers, tries]
    rows, size = np.repeat(loads, THRESHOLDS, axis=0), sizes.ravel()[:, None]
    cut = np.maximum(np.ceil(rows / size - 1e-9), 1).astype(np.int64)
    fits = cut.sum(axis=1) <= slots
    cut[~fits] = 1
    left = slots - cut.sum(axis=1)
    light = _greedy(np.where(rows <= size, rows, rows * 1e-9), cut, left)
    any_ = _greedy(rows, cut, left)
    both = [first[:, None], any_.reshape(layers, THRESHOLDS, experts), light.reshape(layers, THRESHOLDS, experts)]
    return np.concatenate(both, axis=1).reshape(-1, experts)


def _greedy(loads: Loads, counts: Ranks, more: Ranks | int) -> Ranks:
    """Give so many further copies, one after the other, to the expert whose copies are the heaviest."""
    found, left = counts.copy(), np.broadcast_to(np.asarray(more), len(loads)).copy()
    rows = np.arange(len(loads))
    while (left > 0).any():
        open_ = rows[left > 0]
        heaviest = (loads[open_] / found[open_]).argmax(axis=1)
        found[open_, heaviest] += 1
        left[open_] -= 1
    return found


def _dealt(pieces: Loads, gpus: int) -> Ranks:
    """The GPU of each piece, shape of `pieces`, which run from heavy to light: always to the one that has least and has room."""
    rows, slots = pieces.shape
    room = np.full((rows, gpus), slots // gpus)
    total, found, row = np.zeros((rows, gpus)), np.empty((rows, slots), dtype=np.int64), np.arange(rows)
    for slot in range(slots):
        gpu = total.argmin(axis=1)
        found[:, slot] = gpu
        total[row, gpu] += pieces[:, slot]
        room[row, gpu] -= 1
        full = room[row, gpu] == 0
        total[row[full], gpu[full]] = np.inf
    return found


def _exchanged(pieces: Loads, gpu: Ranks, gpus: int) -> Ranks:
    """Exchange pieces of the busiest GPU with lighter ones of others, for as long as the heavier of both gets lighter."""
    found = gpu.copy()
    total = np.bincount(found, weights=pieces, minlength=gpus)
    for _ in range(EXCHANGES):
        busiest = int(total.argmax())
        own, others = np.flatnonzero(found == busiest), np.flatnonzero(found != busiest)
        if not len(others):
            break
        gain = pieces[own][:, None] - pieces[others][None, :]
        worst = np.where(gain > 0, np.maximum(total[busiest] - gain, total[found[others]][None, :] + gain), np.inf)
        one, other = divmod(int(worst.argmin()), len(others))
        if worst[one, other] >= total[busiest] * (1 - 1e-12):
            break
        total[busiest] -= gain[one, other]
        total[found[others[other]]] += gain[one, other]
        found[own[one]], found[others[other]] = found[others[other]], busiest
    return found


def _by_node(loads: Loads, slots: int, gpus: int, groups: int, nodes: int) -> Ranks:
    """Groups to nodes first, each as many, and then the experts of a node to its GPUs."""
    layers, experts = loads.shape
    of_group = loads.reshape(layers, groups, -1).sum(axis=2)
    order = np.argsort(-of_group, axis=1, kind="stable")
    dealt = _dealt(np.take_along_axis(of_group, order, axis=1), nodes)
    node = np.empty_like(dealt)
    np.put_along_axis(node, order, dealt, axis=1)
    own = np.argsort(np.repeat(node, experts // groups, axis=1), axis=1, kind="stable").reshape(layers, nodes, -1)
    parts = []
    for index in range(nodes):
        ids = own[:, index]
        placed = _placed(np.take_along_axis(loads, ids, axis=1), slots // nodes, gpus // nodes)
        parts.append(np.take_along_axis(ids, placed, axis=1))
    return np.concatenate(parts, axis=1)
