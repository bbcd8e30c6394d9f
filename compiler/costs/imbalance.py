"""How much more the busiest expert-parallel rank gets than the mean: given, of a power law, or of measured loads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.constants import WIDEST_LOADS
from compiler.layout.experts import Block
from compiler.layout.loads import Loads
from compiler.specs.model import Model
from compiler.specs.workload import Workload

PLACEMENTS = 64
"""Arrangements of experts over ranks that are averaged; their order is a fixed mixing of numbers, not chance."""


def factor(workload: Workload, model: Model, ep: int) -> float:
    """Busiest over mean of `ep` ranks: 1 or more. Measured loads are not looked at."""
    if workload.imbalance_exponent is None or not model.moe:
        return float(workload.imbalance)
    loads = power_law(model.num_experts, max(1, model.num_experts_per_tok), workload.imbalance_exponent)
    return _placed(loads, ep)


def measured(loads: Loads, blocks: Sequence[Block], moe_layers: Iterable[int]) -> float:
    """Busiest over mean rank, the mean over the layers that are measured: every layer waits for its own busiest rank."""
    rows = [loads[layer] for layer in moe_layers if layer in loads]
    if not rows or not blocks:
        return 1.0
    found = np.stack(rows)
    found = found / np.maximum(
        found.max(axis=1, keepdims=True), np.finfo(float).tiny
    )  # sums of the largest numbers are none
    found = found / np.maximum(1, copies(blocks, found.shape[1]))
    ranks = np.stack([sum(found[:, first : last + 1].sum(axis=1) for first, last in block) for block in blocks])
    return float((ranks.max(axis=0) / ranks.mean(axis=0)).mean())


def copies(blocks: Sequence[Block], experts: int) -> Array:
    """On how many ranks each expert is, which share its load; shape [experts]."""
    counted = np.zeros(experts)
    for first, last in (run for block in blocks for run in block):
        counted[first : last + 1] += 1
    return counted


def power_law(experts: int, chosen: int, exponent: float) -> Array:
    """Loads of experts whose density falls with `exponent`, at its quantiles, a mean of 1. No expert gets a token twice,
    so that none has more than experts / chosen.
    """
    u = (np.arange(experts) + 0.5) / experts
    power = 1 - exponent
    loads = WIDEST_LOADS**u if abs(power) < 1e-9 else (1 + (WIDEST_LOADS**power - 1) * u) ** (1 / power)
    loads, most = loads / loads.mean(), experts / chosen
    for _ in range(experts):  # what does not fit on the busiest goes to the others
        over = loads >= most
        spare, rest = experts - most * over.sum(), loads[~over].sum()
        if not over.any() or rest == 0:
            break
        spread = np.where(over, most, loads * spare / rest)
        if np.allclose(spread, loads):
            break
        loads = spread
    return np.asarray(loads)


def _placed(loads: Array, ep: int) -> float:
    """The mean over arrangements of experts in blocks, of busiest over mean rank."""
    if ep <= 1:
        return 1.0
    base, extra = divmod(len(loads), ep)
    starts = [rank * base + min(rank, extra) for rank in range(min(ep, len(loads)))]
    found = []
    for turn in range(PLACEMENTS):
        order = np.argsort(_mixed(np.arange(len(loads), dtype=np.uint64) + np.uint64(turn * 2**32)))
        ranks = np.add.reduceat(loads[order], starts)
        found.append(ranks.max() * ep / loads.sum())
    return float(np.mean(found))


def _mixed(x: np.ndarray[tuple[int, ...], np.dtype[np.uint64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """SplitMix64's mixing of numbers (Steele et al., 2014)."""
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
