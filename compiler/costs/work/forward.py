"""One forward pass of one micro-batch on an attention-DP rank: how many tokens, and how much context each reads."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from compiler.blocks.block import Cache
from compiler.costs.arrays import Array, array, ceil_div
from compiler.costs.case import Case
from compiler.costs.work.params import chosen_fraction
from compiler.frozen import dataclass
from compiler.specs.workload import Workload


@dataclass(frozen=True)
class Forward:
    """Arrays that broadcast with degrees. `tokens` are the rows of a TP rank's GEMMs, `routed` what its TP group routes.

    `length`: tokens of a sequence (the context of a decode step), of which `shared` CP ranks have a part each where they do not see
    all in turns. `cached`: the tokens of KV cache that are read for a sequence. `holders`: ranks that share a sequence's cache in
    decode; beside `shared` they are decode context parallelism, whose ranks gather the heads of queries, and compute as much. `found`:
    tokens of a prompt that are cached already, and only read.
    """

    phase: str
    sequences: Array
    tokens: Array
    routed: Array
    length: float
    shared: Array
    cached: Array
    holders: Array
    found: float = 0.0

    @classmethod
    def of_length(cls, phase: str, length: float) -> Forward:
        """One token of a sequence, on one rank."""
        one = array(1.0)
        return cls(phase, one, one, one, length, one, array(length), one)

    @property
    def computed(self) -> float:
        """Part of a prompt that is not found."""
        return 1 - self.found / self.length if self.found else 1.0

    def met(self, limit: int | None, every: int = 1) -> Array:
        """Keys that a query meets on this CP rank: of one entry for `every` tokens, and `limit` of them at most."""
        if self.phase != "decode":
            return array(mean_keys(self.length / every, limit, self.found / every))
        return np.asarray(min(float(limit or np.inf), self.length / every) / self.shared)

    def read(self, cache: Cache) -> Array:
        """Entries of a sequence's cache that a pass reads on this CP rank."""
        if self.phase == "decode":
            return self.met(cache.limit, cache.every) * self.shared / self.holders
        return np.asarray(self.cached / cache.every)


def mean_keys(length: float, window: int | None, found: float = 0.0) -> float:
    """Keys that a query of a causal sequence of `length` tokens meets on average, if the first `found` of them ask nothing: half of them,
    or w - w^2/2s, where all ask.
    """

    def met(asking: float) -> float:
        seen = min(float(window or asking), float(asking))
        return seen * asking - seen**2 / 2.0

    return (met(length) - met(found)) / (length - found) if length > found else 0.0


def whole_sequences(case: Case, phase: str, length: float) -> Forward:
    """A training micro-batch, or a prefill without chunks. CP ranks hold s/cp queries each and meet all keys, in turns."""
    tokens = case.micro_batch * length / case.cp
    return Forward(
        phase=phase,
        sequences=case.micro_batch,
        tokens=tokens,
        routed=tokens,
        length=length,
        shared=array(1.0),
        cached=length / case.cp,
        holders=array(1.0),
    )


def prompt_pass(case: Case, length: float) -> Forward:
    """Prefill of a micro-batch of prompts without chunks, of which `prefix_share` is found in the cache."""
    forward = whole_sequences(case, "prefill", length)
    found = found_tokens(case.workload, length)
    part = 1 - found / max(length, 1)
    return replace(forward, tokens=forward.tokens * part, routed=forward.routed * part, found=found)


EXACT = 1e-9
"""Of a token: what a part like 0.29 of 100 tokens is short of in binary."""


def found_tokens(workload: Workload, length: float) -> int:
    """Of a prompt, whole ones: all but the last token at most."""
    return max(0, min(math.floor(workload.prefix_share * length + EXACT), math.ceil(length) - 1))


def one_token(case: Case, context: float) -> Forward:
    """A decode step of one of the groups of sequences that keep the stages busy; CP ranks, and those of decode context
    parallelism, share the KV cache only.
    """
    holders = np.maximum(case.cp, case.cached.shards or 1)
    sequences = ceil_div(case.sequences, np.maximum(busy_stages(case), 1))
    tokens = sequences * (1 + case.workload.draft_tokens)
    return Forward(
        phase="decode",
        sequences=sequences,
        tokens=tokens,
        routed=tokens / case.cp,
        length=float(context),
        shared=case.cp,
        cached=context / holders,
        holders=holders,
    )


def drafting(case: Case) -> float:
    """Time for a token of an answer over that of a step, where each step checks drafts of a multi-token-prediction layer.

    A draft counts where all before it were accepted; making one takes about the time of a layer.
    """
    drafts, accepted = case.workload.draft_tokens, case.workload.draft_acceptance
    kept = sum(accepted**number for number in range(drafts + 1))
    return (1 + drafts / case.model.num_hidden_layers) / kept


def chunked(case: Case, forward: Forward, length: float) -> tuple[Forward, int]:
    """A prompt of `length` in passes of at most `prefill_chunk` tokens, and how many there are. Each reads the whole cache
    so far: what was found, and half of the rest on average.
    """
    size = case.workload.prefill_chunk
    chunks = max(1, math.ceil((length - forward.found) / size)) if size else 1
    if size is None or chunks == 1:
        return forward, 1
    half = np.maximum(forward.cached * (1 + forward.found / max(length, 1)) / 2, size)
    return replace(forward, tokens=forward.tokens / chunks, routed=forward.routed / chunks, cached=half), chunks


def halved(forward: Forward) -> Forward:
    """Half of the sequences, or of the tokens."""
    return replace(forward, sequences=forward.sequences / 2, tokens=forward.tokens / 2, routed=forward.routed / 2)


def busy_stages(case: Case) -> Array:
    """Stages that work at the same time in decode: a rank's sequences are dealt out to at most pp groups."""
    return np.minimum(case.pp, case.sequences)


def dispatched(case: Case, forward: Forward) -> Array:
    """Tokens that an expert-parallel rank computes, each counted once for each of its experts there; balanced experts.

    The etp*ep ranks of a block hold the tokens of etp*ep/tp TP groups, and every ETP rank sees all that its EP rank gets.
    """
    return case.model.routed_experts_per_tok * forward.routed * case.etp / case.tp


def touched_fraction(case: Case, forward: Forward) -> Array:
    """Part of its experts that a rank reads: 1 - (1 - k/E)^tokens over the tokens of its expert-parallel block."""
    tokens = forward.routed * case.etp * case.ep / case.tp
    return 1 - (1 - chosen_fraction(case.model)) ** tokens
