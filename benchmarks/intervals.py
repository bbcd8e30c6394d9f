"""The interval that a plan prints around what is said of a record."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rows.record import Record
from compiler.costs.uncertainty import Uncertainty
from compiler.specs.config import Config
from compiler.speed import calibrated

FAMILIES = {
    "dense_training": "step",
    "dense_single_node": "step",
    "moe_training": "step",
    "memory": "memory",
    "tpot": "tpot",
    "ttft": "ttft",
    "serving_throughput": "rate",
}
NONE = (float("nan"), float("nan"))


UNSEEN = {"model": (), "date": (f"{calibrated.RELEASE}left out",), "source": ("left out",)}
"""What of a training plan nobody would have measured, by what is left out; of servers something in any case."""


def around(record: Record, value: float, out: str = "") -> tuple[float, float]:
    """In the unit of what was measured; nan where a plan prints none. Rates are as sure as the times that make them. `out`: what was left
    out of the fit; empty for nothing.
    """
    family = FAMILIES.get(record.family)
    if family is None or record.world is None or not value > 0:
        return NONE
    config = replace(record.world.config, framework=replace(record.world.config.framework, version=record.software[1]))
    low, high = known(config, out).around(family, value)
    if low is None or high is None:
        return NONE
    return (low, high) if record.metric != "tokens_s_gpu" else (value**2 / high, value**2 / low)


def known(config: Config, out: str = "") -> Uncertainty:
    """As of a plan, or of one of which nobody measured what was left out."""
    by = calibrated.of(config)
    unseen = () if not out else UNSEEN[out] if config.workload.train else UNSEEN["source"]
    return calibrated.uncertainty(config, replace(by, unseen=(*by.unseen, *unseen)))
