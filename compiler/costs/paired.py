"""Pools of many plans at once: what each pool's plans bring to a pair, and what clients see of pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.engine import Filled, Load, Served, answered, at_once, chunk, demand, filled, prompts
from compiler.costs.forward_pass import decode_seconds
from compiler.costs.many import Many
from compiler.costs.project import shapes
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.workload import Workload

EACH = "each_s_"
"""Before the number of prompts that are filled in one go: seconds of each."""


def filling(config: Config, plans: Many, by: Calibration) -> dict[str, Array]:
    """Of servers that prefill, one for each plan: attention-DP `lanes`, seconds of a prompt alone, and of each of several."""
    most, size = max(1, chunk(config.workload) // config.workload.longest), len(plans.tp)
    counts = np.tile(np.arange(1.0, most + 1), size)
    found: dict[str, Array] = {}
    for index, plan in shapes(config, plans.take(np.repeat(np.arange(size), most))):
        first = prompts(plan, by.gpu, counts[index, None])
        each = filled(first, by.engine)
        _put(found, index, len(counts), {"lanes": first.ranks, "alone_s": each.alone, EACH: each.each})
    each_s = found.pop(EACH).reshape(size, most)
    found = {name: values[::most] for name, values in found.items()}
    return found | {f"{EACH}{count + 1}": each_s[:, count] for count in range(most)}


def answering(config: Config, plans: Many, by: Calibration) -> dict[str, Array]:
    """Of servers that decode: attention-DP `lanes`, `batch` clients of each and those that are `running`, and seconds of a step."""
    found: dict[str, Array] = {}
    for index, plan in shapes(config, plans):
        load = demand(plan.at(sequence_lengths=[config.workload.longest]), by.gpu)
        step = decode_seconds(load.decode, load.running, by.engine)
        each = {name: getattr(load, name) for name in ("running", "batch", "interval", "drafted")}
        _put(found, index, len(plans.tp), each | {"lanes": plan.case.of_a_plan(plan.case.adp), "step_s": step})
    return found


def _put(
    found: dict[str, Array], index: np.ndarray[tuple[int], np.dtype[np.intp]], size: int, values: Mapping[str, Array]
) -> None:
    for name, each in values.items():
        found.setdefault(name, np.full(size, np.nan))[index] = each


@dataclass(frozen=True)
class Fill:
    """One plan of servers that prefill: its lanes, seconds of a prompt alone, and of each of 1, 2, ... in one go."""

    workload: Workload
    lanes: float
    alone: float
    each: Array


def seen(fill: Fill, step: Mapping[str, Array], fillers: Array, decoders: Array, by: Calibration) -> Served:
    """What clients see of `fillers` servers of a plan beside `decoders` of each of others, by the steady state of one pair
    (`pooled.of_pools`); arrays that broadcast.
    """
    lanes = fillers * fill.lanes
    clients = step["batch"] * step["lanes"] * decoders
    count = at_once(fill.workload, clients / lanes).astype(np.intp)
    load = Load(
        ranks=array(fill.lanes),
        batch=step["batch"],
        output_tokens=array(fill.workload.output_length),
        running=step["running"],
        apart=array(1),
        fillers=lanes / (decoders * step["lanes"]),
        interval=step["interval"],
        drafted=step["drafted"],
    )
    each = fill.each[count - 1]
    return answered(load, Filled(array(fill.alone), each, each), step["step_s"], by.engine)
