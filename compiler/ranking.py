"""Figures of finished plans beside each other: a row of a sweep's summary each, and which plan is best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.words import figures as cut
from compiler.words import number, seconds

SHOWN = 3
"""Ties that are named; the others are counted."""


def figures(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Of the dictionary of a plan, or of two pools; serving figures are those of the longest sequence. `low` and `high` are
    the part of its rate that four of five measurements would lie between.
    """
    pools = list(plan.get("pools", {}).values()) or [plan]
    memory = max((pool["memory"] for pool in pools), key=lambda memory: memory["total_bytes"])
    found = {
        "world_size": plan["ranks"] if "pools" in plan else plan["world_size"],
        "degrees": " ".join(pool["degrees"]["name"] for pool in pools),
        "memory_bytes": memory["total_bytes"],
        "memory_fraction": round(memory["total_bytes"] / memory["capacity_bytes"], 6),
    }
    if "train" in plan["projection"]:
        step = plan["projection"]["train"]
        return found | {key: step[key] for key in ("step_time_s", "tokens_per_s_per_gpu")} | _around(step, "step_time")
    return found | _serving(plan)


def _serving(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Both phases' times, and what clients get of prefill and decode together: tokens of answers, and requests."""
    serve = plan["projection"]["serve"]
    prefill = max(serve["prefill"], key=lambda row: row["sequence_length"])
    decode = max(serve["decode"], key=lambda row: row["context_length"])
    found = {"ttft_s": prefill["ttft_s"], "tpot_s": decode["tpot_s"]}
    together = serve.get("aggregated", ()) or plan.get("served", ()) or plan.get("rates", ())
    if not together:
        return found
    row = max(together, key=lambda row: row["sequence_length"])
    pooled = "pools" in plan
    gpus = plan["ranks"] if pooled else plan["world_size"]  # of all instances of both pools, or of one instance
    requests = row["requests_per_s"]
    found |= {"tokens_per_s_per_gpu": row["output_tokens_per_s_per_gpu"]}
    if requests is not None:
        instances = 1 if pooled else plan["instances"]
        found |= cut({"requests_per_s": requests * instances, "requests_per_s_per_gpu": requests / gpus})
    return found | _around(row, "tpot")


def _around(row: Mapping[str, Any], name: str) -> dict[str, float]:
    """How much slower and faster measurements of a time would be, as parts of its rate; nothing where nobody knows."""
    value, low, high = (row.get(f"{name}{end}_s") for end in ("", "_low", "_high"))
    return {"low": value / high, "high": value / low} if value and low and high else {}


def best(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of plans that train, and apart from them of those that serve, whose tokens are others: the one with the most tokens/s for
    its GPUs, those that may be as good, and a training step that is shorter.
    """
    rated = [row for row in rows if row.get("tokens_per_s_per_gpu")]
    steps, served = ([row for row in rated if bool(row.get("step_time_s")) is train] for train in (True, False))
    for kind, unit in ((steps, "tokens/s/GPU"), (served, "output tokens/s/GPU")):
        if len(kind) < 2:  # one plan is no choice
            continue
        first, *others = sorted(kind, key=lambda row: -float(row["tokens_per_s_per_gpu"]))
        most = f"{number(first['tokens_per_s_per_gpu'])} {unit}"
        yield f"best by throughput: {first['job']}, {most}{_ties(first, others)}"
        yield from _shorter(first, kind) if kind is steps else ()


def _shorter(first: Mapping[str, Any], timed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shortest = min(timed, key=lambda row: float(row["step_time_s"]))
    if shortest["step_time_s"] < first["step_time_s"]:
        yield f"shortest step: {shortest['job']}, {seconds(shortest['step_time_s'])} on {shortest['world_size']} GPUs"


def _ties(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Plans whose intervals overlap the best one's."""
    least = first["tokens_per_s_per_gpu"] * first.get("low", 1.0)
    near = [row["job"] for row in others if row["tokens_per_s_per_gpu"] * row.get("high", 1.0) >= least]
    more = f" and {len(near) - SHOWN} more" if len(near) > SHOWN else ""
    return f"; within its interval: {', '.join(near[:SHOWN])}{more}" if near else ""
