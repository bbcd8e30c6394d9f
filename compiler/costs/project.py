"""Projections of many plans at once: what a search needs of them, by the same functions as for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs import offload, room, together
from compiler.costs.arrays import Array, array
from compiler.costs.calibration import Calibration
from compiler.costs.case import DEGREES, Case, busiest, shaped
from compiler.costs.comm.far import reaches
from compiler.costs.many import Many
from compiler.costs.serve import prompts_seconds, token_seconds
from compiler.costs.shape import Shape, kinds
from compiler.costs.step import step, work
from compiler.costs.work.activations import stored_each
from compiler.costs.work.memory import memory, updated
from compiler.costs.work.params import counts, totals
from compiler.costs.work.stages import chunks, layers
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import experts
from compiler.frameworks.stage_rule import stage_layers
from compiler.layout.stages import Stages, split
from compiler.layout.traits import BY_DEGREES, Traits, by_degrees
from compiler.specs.config import Config

SERVED = ("memory_bytes", "least_bytes", "ttft_s", "tpot_s", "seen_ttft_s", "seen_tpot_s", "requests_per_s")
"""What is known of a plan that serves."""


def project(config: Config, plans: Many, by: Calibration) -> dict[str, Array]:
    """What `held` says and, of training, `step_time_s`; of serving `ttft_s` and `tpot_s` of a batch at the longest
    prompt, what clients see of both in the steady state (`seen_ttft_s`, `seen_tpot_s`), and the `requests_per_s` of an instance; one for each
    plan, nan where nobody deals the layers out. What ranks wait for each other is in closed form.
    """
    names = ("memory_bytes", "least_bytes", "step_time_s") if config.workload.train else SERVED
    found = {name: np.full(len(plans.tp), np.nan) for name in names}
    with np.errstate(all="ignore"):
        for index, plan in shapes(config, plans):
            for name, values in (_step(plan, by) if config.workload.train else _served(plan, by)).items():
                found[name][index] = values
    return found


def held(config: Config, plans: Many) -> dict[str, Array]:
    """`memory_bytes` of the fullest rank, and `least_bytes`: of a server those of one request at a time, inf where not one fits."""
    found = {name: np.full(len(plans.tp), np.nan) for name in ("memory_bytes", "least_bytes")}
    with np.errstate(all="ignore"):
        for index, plan in shapes(config, plans):
            for name, values in _held(plan).items():
                found[name][index] = values
    return found


def _held(plan: Shape) -> dict[str, Array]:
    if plan.case.workload.train:
        whole = np.asarray(memory(plan.case, plan.held).total_bytes.max(axis=-1))
        return {"memory_bytes": whole, "least_bytes": whole}
    found = room.served(plan.case, plan.held)
    least = np.where(room.starts(plan.case, plan.held), room.least(plan.case, found).max(axis=-1), np.inf)
    return {"memory_bytes": np.asarray(found.total_bytes.max(axis=-1)), "least_bytes": least}


def shapes(config: Config, plans: Many) -> Iterator[tuple[NDArray[np.intp], Shape]]:
    """Indices and the shape of plans, degrees of shape [plans, 1]."""
    whole = totals(config.model)
    for index in plans.alike():
        these = plans.take(index)
        one = these.config(config, 0)
        dealt = stage_layers(one)
        if dealt is not None:
            case = _case(config, these, split(dealt, one.parallel.pp))
            yield index, Shape(case, whole, counts(case, whole), reaches(config, these, kinds(case)))


def _case(config: Config, plans: Many, stages: Stages) -> Case:
    traits, model = _traits(config, plans), config.model
    batches: dict[str, Any] = {name: values[:, None] for name, values in plans.batches.items()}
    measured = config.experts.load is not None
    mapped = measured and model.n_group > 1  # which nodes a group is on follows from all degrees
    of_ep, kind = plans.distinct(DEGREES if mapped else ("ep",))
    each = (plans.config(config, at) for at in of_ep)
    loads = [busiest(one, experts(one, stages) if measured else None) for one in each]
    return shaped(
        replace(config, workload=replace(config.workload, **batches)),
        traits,
        {name: values[:, None] for name, values in plans.degrees.items()},
        layers(model, stages.layers, traits.mtp_stage, tuple(config.workload.wide_layers)),
        array(loads)[kind][:, None],
        chunks(stages, config, traits.mtp_stage),
    )


def _traits(config: Config, plans: Many) -> Traits:
    """Asked of the framework once for each kind of plan that they may differ between."""
    rules = adapter(config.framework.name)
    first, kind = plans.distinct(tuple(rules.varies), batches=True)
    found = [rules.traits(plans.config(config, at)) for at in first]
    numbers = [by_degrees(traits) for traits in found]
    each = {name: array([one[name] for one in numbers])[kind][:, None] for name in BY_DEGREES}
    return found[0].of(each)


def _step(plan: Shape, by: Calibration) -> dict[str, Array]:
    case = plan.case
    parts = step(work(plan, by.gpu)[0], by.software)
    busy = parts.kernels_s + parts.exposed_s + parts.waiting_s
    moved = offload.seconds(case, updated(case, plan.held), stored_each(case), busy)
    return _held(plan) | {"step_time_s": parts.total + sum(moved)}


def _served(plan: Shape, by: Calibration) -> dict[str, Array]:
    length = plan.case.workload.longest
    let_in = replace(plan, case=room.running(plan.case, plan.held, length))
    first, each = prompts_seconds(let_in, length, by)[0], token_seconds(let_in, length, by)[0]
    found = _held(plan) | {"ttft_s": first, "tpot_s": each}
    return found | together.seen(plan, let_in, first, each, by)
