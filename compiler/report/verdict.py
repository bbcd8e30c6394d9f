"""The answer first: does a plan fit, how fast is it, what is there to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from compiler.plan import Plan
from compiler.report.harm import worst
from compiler.report.told import Told, at, joined, told
from compiler.words import number, seconds

NAMED = 4
"""Warnings whose ids an answer has; what they say stands below it."""


class Answer(NamedTuple):
    """`question` in a word or two, the `text` that answers it, and whether that is `good`, `unsure` or `bad`."""

    question: str
    text: str
    mood: str = "good"


def answers(plan: Plan, contents: Mapping[str, Any]) -> list[Answer]:
    """Of a plan, or of pools."""
    held = {"": "memory"} if plan.alone else {role: f"pools.{role}.memory" for role in contents["pools"]}
    return [*(_fits(contents, role, path) for role, path in held.items()), *_speed(contents), *_look(plan)]


def _fits(contents: Mapping[str, Any], role: str, path: str) -> Answer:
    memory = at(contents, path)
    total, capacity, high = (told(memory, f"{key}_bytes", _gb, path) for key in ("total", "capacity", "total_high"))
    most, above = memory["capacity_bytes"], memory["total_high_bytes"]
    said = joined(total, " of ", capacity, f" on the fullest rank ({memory['total_bytes'] / most:.1%})")
    question = f"{role} fits".strip()
    if memory["total_bytes"] > most:
        return Answer(question, joined("no: ", said), "bad")
    if above is not None and above > most:
        return Answer(question, joined("probably: ", said, ", of which measurements may find up to ", high), "unsure")
    return Answer(question, joined("yes: ", said))


def _gb(value: float | None) -> str:
    return "unknown" if value is None else f"{value / 1e9:.4g} GB"


def _speed(contents: Mapping[str, Any]) -> Iterator[Answer]:
    """A step and its MFU; of a server TTFT and TPOT at its longest prompts."""
    projection = contents["projection"]
    if "train" in projection:
        step, rate, mfu = (
            told(contents, f"projection.train.{key}", say)
            for key, say in (("step_time_s", seconds), ("tokens_per_s_per_gpu", number), ("mfu", number))
        )
        yield Answer(
            "step",
            joined(step, _around(contents, "projection.train.step_time"), ", ", rate, " tokens/s/GPU, MFU ", mfu),
        )
        return
    for phase, time, length in (("prefill", "ttft", "sequence_length"), ("decode", "tpot", "context_length")):
        rows = projection["serve"][phase]
        if rows:
            index = max(range(len(rows)), key=lambda i: rows[i][length])
            path = f"projection.serve.{phase}.{index}"
            found = told(contents, f"{path}.{time}_s", seconds)
            rate = told(contents, f"{path}.tokens_per_s_per_gpu", number)
            where = f" at {rows[index][length]:,} tokens"
            around = _around(contents, f"{path}.{time}")
            yield Answer(phase, joined(f"{time.upper()} ", found, where, around, ", ", rate, " tokens/s/GPU"))


def _around(contents: Mapping[str, Any], path: str) -> Told:
    low, high = (told(contents, f"{path}_{end}_s", seconds) for end in ("low", "high"))
    return joined(" (", low, " to ", high, ")") if low.of and high.of else Told("")


def _look(plan: Plan) -> Iterator[Answer]:
    """Which checks did not pass, the most harmful first, and how many claims fail."""
    found = worst(plan.checks)
    if found:
        ids = list(dict.fromkeys(check.id for check in found))
        more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
        several = "s" * (len(found) > 1)
        yield Answer("look at", f"{len(found)} warning{several}: {', '.join(ids[:NAMED])}{more}", "unsure")
    else:
        yield Answer("look at", f"nothing: all {len(plan.checks)} checks passed")
    failing = [verdict for verdict in plan.expectations if verdict.verdict == "fails"]
    judged = [verdict for verdict in plan.expectations if verdict.verdict != "not_applicable"]
    if judged and plan.alone:
        said = f"{len(failing)} of {len(judged)} fail" if failing else f"all {len(judged)} hold"
        yield Answer("claims", said, "unsure" if failing else "good")
