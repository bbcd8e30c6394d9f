"""Pools of many plans at once: what each pool's plans bring to a pair, and what clients see of pairs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.constants import PREFILL_KEPT
from compiler.costs.engine import Filled, Load, Served, answered, at_once, demand, filled, prompts
from compiler.costs.forward_pass import decode_seconds
from compiler.costs.many import Many
from compiler.costs.project import shapes
from compiler.frozen import dataclass
from compiler.specs.config import Config
from compiler.specs.workload import Workload


def filling(config: Config, plans: Many, count: Array, by: Calibration) -> dict[str, Array]:
    """Of servers that prefill, each with its `count` of prompts in one go: attention-DP `lanes`, and the times of `engine.Filled`."""
    found: dict[str, Array] = {}
    for index, plan in shapes(config, plans):
        first = prompts(plan, by.gpu, count[index, None])
        _put(found, index, len(count), {"lanes": first.ranks, **vars(filled(first, by.engine))})
    return found


def answering(config: Config, plans: Many, by: Calibration) -> dict[str, Array]:
    """Of servers that decode: attention-DP `lanes`, `clients` of them all, their `batch` of each and those that are `running`, and seconds of a
    step.
    """
    found: dict[str, Array] = {}
    for index, plan in shapes(config, plans):
        load = demand(plan.at(sequence_lengths=[config.workload.longest]), by.gpu)
        step = decode_seconds(load.decode, load.running, by.engine)
        each = {name: getattr(load, name) for name in ("running", "batch", "interval", "drafted")}
        clients = array(plan.case.workload.global_batch_size)
        each |= {name: plan.case.of_a_plan(values) for name, values in (("lanes", plan.case.adp), ("clients", clients))}
        _put(found, index, len(plans.tp), each | {"step_s": step})
    return found


def _put(
    found: dict[str, Array], index: np.ndarray[tuple[int], np.dtype[np.intp]], size: int, values: Mapping[str, Array]
) -> None:
    for name, each in values.items():
        found.setdefault(name, np.full(size, np.nan))[index] = each


@dataclass(frozen=True)
class Fill:
    """One plan of servers that prefill: its lanes, seconds of a prompt alone, and of each of `counts` in one go (`each` and `busy` as of
    `engine.Filled`).
    """

    workload: Workload
    lanes: float
    alone: float
    counts: Array
    each: Array
    busy: Array

    def at(self, clients: Array, fillers: Array) -> Filled:
        """Where so many clients ask so many servers."""
        count = at_once(self.workload, clients / (fillers * self.lanes))
        own = np.searchsorted(self.counts, count)
        return Filled(array(self.alone), self.each[own], self.busy[own])


def pace(fill: Fill, step: Mapping[str, Array], fillers: Array, decoders: Array) -> Array:
    """Prompts a second of `fillers` servers beside `decoders` of each of others, less what uneven arrivals cost, as in `rates`; arrays
    that broadcast.
    """
    return fillers * fill.lanes / fill.at(step["clients"] * decoders, fillers).busy * PREFILL_KEPT


def seen(fill: Fill, step: Mapping[str, Array], fillers: Array, decoders: Array, by: Calibration) -> Served:
    """What clients see of the same, by the steady state of one pair (`pooled.of_pools`)."""
    load = Load(
        ranks=array(fill.lanes),
        batch=step["batch"],
        output_tokens=array(fill.workload.output_length),
        running=step["running"],
        apart=array(1),
        fillers=fillers * fill.lanes / (decoders * step["lanes"]),
        interval=step["interval"],
        drafted=step["drafted"],
    )
    return answered(load, fill.at(step["clients"] * decoders, fillers), step["step_s"], by.engine)
