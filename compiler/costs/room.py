"""How many requests the memory of a server holds at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.constants import OTHER_BYTES
from compiler.costs.memory import kv_cache, memory, weights
from compiler.costs.params import Counts

MOST = 2048.0
"""Requests that an attention-DP rank runs at a time, whatever its memory (TensorRT-LLM's default)."""


def admitted(case: Case, held: Counts) -> Array:
    """Requests of the case's lengths that run on each attention-DP rank at a time: at least one."""
    workload = case.workload
    answered = max(1, round(case.room.answered * workload.output_length))
    one = replace(workload, global_batch_size=int(np.max(case.adp)), output_length=answered)
    each = kv_cache(replace(case, workload=one)).max(axis=-1)
    free = case.room.cache_bytes(case.hardware.gpu.memory_bytes, weights(case, held).max(axis=-1), OTHER_BYTES["serve"])
    return np.asarray(np.minimum(np.maximum(free / each, 1.0), MOST))


def fitting(case: Case, held: Counts, length: float) -> Array:
    """Sequences of `length` tokens, prompt and answer together, that the memory of the fullest rank has room for, on each
    attention-DP rank; 0 where not even the rest fits.
    """
    one = replace(case, workload=replace(case.workload, global_batch_size=int(np.max(case.adp)), output_length=0))
    alone = replace(one, workload=replace(one.workload, sequence_lengths=[round(length)]))
    found = memory(case, held)
    other = found.total_bytes - found.kv_cache_bytes - found.weights_bytes
    free = case.room.cache_bytes(case.hardware.gpu.memory_bytes, found.weights_bytes, other)
    return np.asarray(np.floor(free / np.maximum(kv_cache(alone), 1)).min(axis=-1))
