"""How many requests the memory of a server holds at a time: what does not fit waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.case import Case
from compiler.costs.constants import MOST_REQUESTS, OTHER_BYTES
from compiler.costs.uncertainty import Uncertainty
from compiler.costs.work.memory import Memory, kv_cache, memory
from compiler.costs.work.params import Counts

Around = tuple[float, float] | tuple[None, None]


def admitted(case: Case, held: Counts) -> Array:
    """Requests of the case's lengths that run on each attention-DP rank at a time: at least one; shape of degrees."""
    answered = max(1, round(case.room.answered * case.workload.output_length))
    each = one_sequence(case, case.workload.longest, answered)
    room = _fewest(case, given(case, memory(case, held)) / np.maximum(each, 1))
    return np.asarray(np.minimum(np.maximum(room, 1.0), MOST_REQUESTS))


def fitting(case: Case, held: Counts, length: float) -> Array:
    """Sequences of `length` tokens, prompt and answer together, that the memory of the fullest rank has room for, on each
    attention-DP rank; 0 where not even the rest fits.
    """
    each = one_sequence(case, round(length), 0)
    return np.floor(_fewest(case, given(case, memory(case, held)) / np.maximum(each, 1)))


def _fewest(case: Case, values: Array) -> Array:
    """Of all stages, in the shape of degrees."""
    return np.asarray(values.min(axis=-1, keepdims=case.tp.ndim > 0))


def given(case: Case, found: Memory) -> Array:
    """Bytes that a server has for its cache beside the rest of `found`, by stage; 0 where there are none."""
    other = found.total_bytes - found.kv_cache_bytes - found.weights_bytes
    own, capacity = case.room, case.hardware.gpu.memory_bytes
    left = capacity - found.weights_bytes - other
    if not own.of_all:
        return np.maximum(own.share * left, 0.0)
    chosen = own.share * capacity - found.weights_bytes - OTHER_BYTES["serve"] * own.with_other
    chosen = np.maximum(chosen, own.least * capacity)
    return np.maximum(np.minimum(chosen, left), 0.0)


def one_sequence(case: Case, prompt: int, answer: int) -> Array:
    """Bytes that are cached of a sequence of `prompt` and `answer` tokens, by stage."""
    return kv_cache(_asked(case, case.adp, sequence_lengths=[prompt], output_length=answer))


def _asked(case: Case, batch: Any, **changes: Any) -> Case:
    """With another batch of an instance: a number, or an array of one a plan."""
    return replace(case, workload=replace(case.workload, global_batch_size=batch, **changes))


def running(case: Case, held: Counts, length: int) -> Case:
    """With the requests of prompts of `length` that run at a time, of those that clients of an instance ask."""
    asked = case.workload.global_batch_size
    alone = _asked(case, asked, sequence_lengths=[length])
    most = np.minimum(asked, np.round(admitted(alone, held) * case.adp))
    return _asked(case, most if most.ndim else int(most))


def served(case: Case, held: Counts) -> Memory:
    """Memory of a server: what its requests cache at their longest, as far as there is room, in whole tokens; but one request
    in any case, which may be more than there is.
    """
    found = memory(case, held)
    asked = found.kv_cache_bytes
    tokens = case.sequences * (case.workload.longest + case.workload.output_length)
    share = _fewest(case, given(case, found) / np.maximum(asked, 1))
    kept = asked * np.minimum(1.0, np.floor(share * tokens) / np.maximum(tokens, 1.0))
    return replace(found, kv_cache_bytes=np.maximum(kept, _longest(case)))


def starts(case: Case, held: Counts) -> Array:
    """Whether a server's cache has room for one request at its longest, on every stage; shape [] or [plans]."""
    return np.asarray((given(case, memory(case, held)) >= _longest(case)).all(axis=-1))


def least(case: Case, found: Memory) -> Array:
    """Bytes by stage of a server that runs one sequence at a time, its longest."""
    return found.total_bytes - found.kv_cache_bytes + np.minimum(_longest(case), found.kv_cache_bytes)


def _longest(case: Case) -> Array:
    return one_sequence(case, case.workload.longest, case.workload.output_length)


def interval(found: Memory, least_bytes: float | None, capacity_bytes: float, known: Uncertainty) -> Around:
    """Where memory of the fullest rank would be measured. A server's cache gives way to what takes more than was thought, down
    to `least_bytes`, those of one sequence at a time; None where nothing does.
    """
    whole = known.around("memory", float(found.total_bytes.max()))
    least = known.around("memory", least_bytes)[1]
    if whole[0] is None or least is None:
        return whole
    return whole[0], max(min(whole[1], capacity_bytes), least)
