"""Rate matching: how many requests a second pools of prefill and decode do, and how many instances of each fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from compiler.costs.constants import DECODE_KEPT, PREFILL_KEPT
from compiler.frozen import dataclass

LARGEST_POOL = 32
"""Most instances of a pool in a ratio that is proposed."""


@dataclass(frozen=True)
class Rate:
    """Both pools at one length of prompts. `matched_*`: the smallest numbers of instances whose rates are about equal."""

    sequence_length: int
    output_length: int
    prefill_requests_per_s: float
    decode_requests_per_s: float
    requests_per_s: float
    limited_by: str
    output_tokens_per_s_per_gpu: float
    matched_prefill_instances: int
    matched_decode_instances: int


def rates(
    prefill: Sequence[Mapping[str, Any]],
    decode: Sequence[Mapping[str, Any]],
    prompts: Sequence[float | None],
    instances: tuple[int, int],
    gpus: tuple[int, int],
    output_length: int,
) -> Iterator[Rate]:
    """At each length; rows are those of one instance. `gpus`: of one instance of prefill, and of decode. `prompts`: a second, of all
    instances that fill; where nothing says so, as many as the phase's own batch makes.
    """
    for fill, step, filled in zip(prefill, decode, prompts, strict=True):
        length = fill["sequence_length"]
        if not (fill["tokens_per_s_per_gpu"] and step["tokens_per_s_per_gpu"] and output_length):
            continue
        own = fill["tokens_per_s_per_gpu"] * gpus[0] / length
        each = (filled / instances[0] if filled else own) * PREFILL_KEPT
        answered = step["tokens_per_s_per_gpu"] * gpus[1] / output_length * DECODE_KEPT
        both = each * instances[0], answered * instances[1]
        found, total = min(both), sum(count * size for count, size in zip(instances, gpus, strict=True))
        one = ratio(answered / each)
        yield Rate(
            sequence_length=length,
            output_length=output_length,
            prefill_requests_per_s=both[0],
            decode_requests_per_s=both[1],
            requests_per_s=found,
            limited_by="prefill" if both[0] < both[1] else "decode",
            output_tokens_per_s_per_gpu=found * output_length / total,
            matched_prefill_instances=one.numerator,
            matched_decode_instances=one.denominator,
        )


def ratio(wanted: float) -> Fraction:
    """Instances of prefill over those of decode, whole numbers up to `LARGEST_POOL`."""
    near = min(max(wanted, 1 / LARGEST_POOL), LARGEST_POOL)
    if near < 1:
        return Fraction(near).limit_denominator(LARGEST_POOL)
    return 1 / Fraction(1 / near).limit_denominator(LARGEST_POOL)
