"""The interval that a plan prints around what is said of a record."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rows.record import Record
from compiler.costs.calibration import Calibration
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


def around(record: Record, value: float, *, seen: bool) -> tuple[float, float]:
    """In the unit of what was measured; nan where a plan prints none. Rates are as sure as the times that make them."""
    family = FAMILIES.get(record.family)
    if family is None or record.world is None or not value > 0:
        return NONE
    config = replace(record.world.config, framework=replace(record.world.config.framework, version=record.software[1]))
    low, high = known(config, seen=seen).around(family, value)
    if low is None or high is None:
        return NONE
    return (low, high) if record.metric != "tokens_s_gpu" else (value**2 / high, value**2 / low)


def known(config: Config, *, seen: bool) -> Uncertainty:
    """As of a plan, or of one of which something was not measured."""
    by = calibrated.of(config)
    return calibrated.uncertainty(config, by if seen else _strange(by))


def _strange(by: Calibration) -> Calibration:
    return replace(by, unseen=(*by.unseen, "left out"))
