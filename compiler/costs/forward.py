"""One forward pass of one micro-batch on an attention-DP rank: how many tokens, and how much context each reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.costs.case import Array, Case, array, ceil_div
from compiler.costs.params import chosen_fraction


@dataclass(frozen=True)
class Forward:
    """Arrays that broadcast with degrees. `tokens` are the rows of a TP rank's GEMMs, `routed` what its TP group routes.

    `keys` and `window_keys` are the keys that a query meets on this CP rank, in layers without and with a window;
    `cached` and `window_cached` the tokens of KV cache that are read for a sequence.
    """

    phase: str
    sequences: Array
    tokens: Array
    routed: Array
    keys: Array
    window_keys: Array
    cached: Array
    window_cached: Array


def mean_keys(length: float, window: int | None) -> float:
    """Keys that a query of a causal sequence of `length` tokens meets on average: half of them, or w - w^2/2s."""
    seen = min(float(window or length), float(length))
    return seen - seen**2 / (2.0 * length) if length else 0.0


def whole_sequences(case: Case, phase: str, length: float) -> Forward:
    """A training micro-batch, or a prefill without chunks. CP ranks hold s/cp queries each and meet all keys, in turns."""
    tokens = case.micro_batch * length / case.cp
    return Forward(
        phase=phase,
        sequences=case.micro_batch,
        tokens=tokens,
        routed=tokens,
        keys=array(mean_keys(length, None)),
        window_keys=array(mean_keys(length, case.model.sliding_window)),
        cached=length / case.cp,
        window_cached=length / case.cp,
    )


def one_token(case: Case, context: float) -> Forward:
    """A decode step of one of the groups of sequences that keep the stages busy; CP ranks share the KV cache only."""
    sequences = ceil_div(case.sequences, np.maximum(busy_stages(case), 1))
    window = min(float(case.model.sliding_window or context), float(context))
    return Forward(
        phase="decode",
        sequences=sequences,
        tokens=sequences,
        routed=sequences / case.cp,
        keys=context / case.cp,
        window_keys=window / case.cp,
        cached=context / case.cp,
        window_cached=window / case.cp,
    )


def busy_stages(case: Case) -> Array:
    """Stages that work at the same time in decode: a rank's sequences are dealt out to at most pp groups."""
    return np.minimum(case.pp, case.sequences)


def dispatched(case: Case, forward: Forward) -> Array:
    """Tokens that an expert-parallel rank computes, each counted once for each of its experts there; balanced experts.

    The etp*ep ranks of a block hold the tokens of etp*ep/tp TP groups, and every ETP rank sees all that its EP rank gets.
    """
    return case.model.num_experts_per_tok * forward.routed * case.etp / case.tp


def touched_fraction(case: Case, forward: Forward) -> Array:
    """Part of its experts that a rank reads: 1 - (1 - k/E)^tokens over the tokens of its expert-parallel block."""
    tokens = forward.routed * case.etp * case.ep / case.tp
    return 1 - (1 - chosen_fraction(case.model)) ** tokens
