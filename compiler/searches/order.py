"""Which plan is best: the figures of plans, their order by an objective, and those that nobody can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array, array, front
from compiler.frozen import dataclass
from compiler.searches.plans import Index, Plans
from compiler.searches.space import INSTANCES, STAGES
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config
from compiler.words import DIGITS

SIMPLEST = ("pp", "vpp", STAGES, "cp", "tp", "etp", "ep")
"""Of equals the plan with the smaller degree of these is first."""


@dataclass(frozen=True)
class Figures:
    """Of plans, one each: GPUs of all instances; seconds of a step, or what clients see (to the first token, of each further one, of a
    whole request); and rates of the whole. nan where a plan has none.
    """

    gpus: Array
    step_time_s: Array
    ttft_s: Array
    tpot_s: Array
    request_s: Array
    requests_per_s: Array
    tokens_per_s: Array
    memory_bytes: Array

    @property
    def tokens_per_s_per_gpu(self) -> Array:
        return self.tokens_per_s / self.gpus

    def take(self, index: Index | NDArray[np.bool_]) -> Figures:
        return Figures(**{name: values[index] for name, values in vars(self).items()})

    def timed(self, step_time_s: Array) -> Figures:
        """The same at other times of a step."""
        return replace(self, step_time_s=step_time_s, tokens_per_s=self.tokens_per_s * self.step_time_s / step_time_s)


def figures(config: Config, plans: Plans, costs: Mapping[str, Array]) -> Figures:
    """What follows from the costs of plans; a server's rates are those of all its instances."""
    gpus = array(plans.column("world_size") * plans.chosen[INSTANCES])
    none = np.full(len(plans), np.nan)
    if config.workload.train:
        tokens = of(config, plans, "workload.global_batch_size") * of(config, plans, "workload.sequence_length")
        rate = tokens * config.framework.instances / costs["step_time_s"]
        return Figures(gpus, costs["step_time_s"], none, none, none, none, rate, costs["memory_bytes"])
    requests = costs["requests_per_s"] * plans.chosen[INSTANCES]
    answer = of(config, plans, "workload.output_length")
    first, each = costs["seen_ttft_s"], costs["seen_tpot_s"]
    whole = first + each * (answer - 1)
    return Figures(gpus, none, first, each, whole, requests, requests * answer, costs["memory_bytes"])


def of(config: Config, plans: Plans, key: str) -> Array:
    """Numbers of a key of the workload, which may be varied."""
    own = float(getattr(config.workload, key.rpartition(".")[2]))
    return array(plans.values[key])[plans.chosen[key]] if key in plans.chosen else np.full(len(plans), own)


def objective(config: Config) -> str:
    """What is asked for, or follows from the rest."""
    asked = config.search
    return asked.objective or ("gpus" if asked.requests_per_s is not None else "throughput")


def scores(config: Config, found: Figures) -> list[Array]:
    """What decides, the first thing first; less is better."""
    wait = found.step_time_s if config.workload.train else found.request_s
    rate = -found.tokens_per_s
    by = {"gpus": [found.gpus, rate, wait], "latency": [wait, rate, found.gpus], "step_time": [wait, rate, found.gpus]}
    return by.get(objective(config), [rate, found.gpus, wait])


def ordered(config: Config, plans: Plans, found: Figures) -> Index:
    """The best first; of equals (to nine digits) the simplest."""
    keys: list[NDArray[Any]] = [settled(score) for score in scores(config, found)]
    keys += [plans.chosen[key] for key in SIMPLEST]
    keys += [plans.chosen[key] for key in plans.chosen if key not in (*DEGREES, STAGES)]
    order: Index = np.lexsort(tuple(reversed(keys)))
    return order


def settled(values: Array) -> Array:
    """Cut to the digits that count: what processors differ in decides nothing."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
    good = np.isfinite(scale)
    return np.where(good, np.round(values * np.where(good, scale, 1)) / np.where(good, scale, 1), values)


def pareto(config: Config, found: Figures) -> NDArray[np.bool_]:
    """Of serving tokens/s of a client over tokens/s/GPU; of training seconds of a step over memory."""
    if config.workload.train:
        return front(settled(found.step_time_s), settled(found.memory_bytes))
    return front(settled(found.tpot_s), -settled(found.tokens_per_s_per_gpu))
