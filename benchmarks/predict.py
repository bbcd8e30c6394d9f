"""What the program says of a record."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.rows.record import Record
from compiler.costs import collectives
from compiler.costs.case import array, case
from compiler.costs.total import cost
from compiler.world import World


def predict(record: Record) -> float:
    """In the unit of what was measured."""
    ask: dict[str, Any] = dict(record.ask or {})
    if record.family == "collectives":
        return float(collectives.seconds(ask["op"], array(ask["size"]), ask["reach"], ask["hardware"]))
    if record.world is None:
        raise ValueError(record.id)
    found = cost(record.world).to_dict()
    if record.family == "memory":
        totals = [stage["total_bytes"] for stage in found["memory"]["stages"]]
        return float(max(totals) if ask["stage"] is None else totals[ask["stage"]])
    if record.family in ("tpot", "ttft", "serving_throughput"):
        return serving(record, record.world, found, ask)
    step = found["projection"]["train"]
    return float(step["step_time_s"] if record.metric == "step_time_s" else step["tokens_per_s_per_gpu"])


def serving(record: Record, world: World, found: dict[str, Any], ask: dict[str, Any]) -> float:
    serve = found["projection"]["serve"]
    if record.family == "tpot":
        return float(serve["decode"][0]["tpot_s"])
    if record.family == "ttft":
        return float(serve["prefill"][0]["ttft_s"])
    return float(serve["decode"][0]["tokens_per_s_per_gpu"])


def finite(value: float) -> bool:
    return bool(np.isfinite(value)) and value > 0


_ = case
