"""Memory and time, as both plans estimate them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.diff.side import Side
from compiler.diff.topic import MISSING, Missing, Topic, differing, pairs
from compiler.diff.verdict import Change
from compiler.words import gigabytes, number, seconds


def changes(old: Side, new: Side) -> Iterator[Change]:
    """Estimates run nothing. One that lies in the other's interval says so."""
    for before, one, other in pairs(old, new):
        contents = one.plan.contents, other.plan.contents
        yield from _memory(before, *(found["memory"] for found in contents))
        rows = [dict(_rows(found.get("projection") or {})) for found in contents]
        for (what, key), was, becomes in differing(rows[0], rows[1]):
            said = [MISSING if row is Missing else _time(row, key) for row in (was, becomes)]
            if said[0] != said[1]:
                yield Change("costs", f"{before}{what}", said[0], f"{said[1]}{_apart(was, becomes, key)}")


def _memory(before: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    if old["total_bytes"] != new["total_bytes"] or old["capacity_bytes"] != new["capacity_bytes"]:
        said = [f"{gigabytes(found['total_bytes'])} of {gigabytes(found['capacity_bytes'])}" for found in (old, new)]
        yield Change(
            "costs", f"{before}memory of the fullest rank", said[0], f"{said[1]}{_percent(old, new, 'total_bytes')}"
        )


def _rows(projection: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """(what, key of its time) -> a row of the projection."""
    train, serve = projection.get("train"), projection.get("serve") or {}
    if isinstance(train, dict):
        yield ("step", "step_time_s"), train
    for row in serve.get("prefill") or ():
        yield (f"time to the first token, {row.get('sequence_length')} tokens", "ttft_s"), row
    for row in serve.get("decode") or ():
        yield (f"time of a token, {row.get('context_length')} tokens before it", "tpot_s"), row


def _time(row: Mapping[str, Any], key: str) -> str:
    return f"{seconds(row.get(key))}, {number(row.get('tokens_per_s_per_gpu'))} tokens/s/GPU"


def _apart(old: Any, new: Any, key: str) -> str:
    """How much it changes, and whether the two can be told apart at all."""
    if Missing in (old, new):
        return ""
    low, high = (new.get(f"{key.removesuffix('_s')}_{end}_s") for end in ("low", "high"))
    tie = ", a tie: the old one lies in its interval" if low and high and low <= (old.get(key) or 0) <= high else ""
    return f"{_percent(old, new, key)}{tie}"


def _percent(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> str:
    was, becomes = old.get(key), new.get(key)
    return f" ({becomes / was - 1:+.1%})" if was and becomes else ""


TOPIC = Topic("costs", 7, "memory and time", changes)
