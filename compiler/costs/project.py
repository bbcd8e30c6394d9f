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
    if config.workload.train:
        steps = np.full(len(plans.tp), np.nan)
        for index in plans.alike():
            steps[index] = stepped(config, plans.take(index), by)["step_time_s"]
        return held(config, plans) | {"step_time_s": steps}
    found = {name: np.full(len(plans.tp), np.nan) for name in SERVED}
    with np.errstate(all="ignore"):
        for index, plan in shapes(config, plans):
            for name, values in _served(plan, by).items():
                found[name][index] = values
    return found


def stepped(config: Config, plans: Many, by: Calibration) -> dict[str, Array]:
    """`step_time_s` of plans whose pipeline ranks hold the same layers, those of the first of them: its work does not depend on the number
    of virtual stages, only what ranks wait for each other does.
    """
    found, asked = np.full(len(plans.tp), np.nan), config.workload
    moves = asked.optimizer_offload or asked.activation_offload or asked.offload_modules
    names = ("tp", "cp", "ep", "etp", "adp", *(["vpp"] if moves else []))
    first, kind = plans.distinct(names, batches=True)
    some = plans.take(np.array(first))
    with np.errstate(all="ignore"):
        for index, plan in shapes(config, replace(some, vpp=np.full(len(first), plans.vpp[0]))):
            rows = np.flatnonzero((kind >= index[0]) & (kind <= index[-1]))
            found[rows] = _step(plan, by, kind[rows] - index[0], plans.vpp[rows])
    return {"step_time_s": found}


def held(config: Config, plans: Many) -> dict[str, Array]:
    """`memory_bytes` of the fullest rank, and `least_bytes`: of a server those of one request at a time, inf where not one fits."""
    found = {name: np.full(len(plans.tp), np.nan) for name in ("memory_bytes", "least_bytes")}
    with np.errstate(all="ignore"):
        for index, plan in shapes(config, plans):
            for name, values in _held(plan).items():
                found[name][index] = values
    return found


def layers_of(config: Config) -> tuple[Any, ...]:
    """What of the split of layers a plan's work follows from: the same for plans whose pipeline ranks hold the same layers."""
    dealt = stage_layers(config)
    if dealt is None:
        return ()
    last = adapter(config.framework.name).traits(config).mtp_stage
    stages = split(dealt, config.parallel.pp)
    found = layers(config.model, stages.layers, last, tuple(config.workload.wide_layers))
    counts = [found.layers, found.moe, found.sliding, found.first, found.last, found.mtp, found.wide, found.reduced]
    counts += [count for _, count in (*found.blocks, *found.alike)]
    return (config.parallel.pp, *(count.tobytes() for count in counts))


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


def _step(plan: Shape, by: Calibration, of: NDArray[np.intp], vpp: Array) -> Array:
    """Of plans that are each one `of` a shape, with their own virtual stages, between which hidden states travel too."""
    case, (one, flows) = plan.case, work(plan, by.gpu)
    shape = len(one.vpp), case.stages.layers.shape[-1]
    each = one.turned(lambda values: np.broadcast_to(values, shape)[of])
    more = (vpp - one.vpp[of])[:, None] * (case.pp > 1)[of]
    for item in flows:
        if item.flow.kind == "pp":
            for side in (each.ahead, each.back):
                side["pp"] = side["pp"] + more * np.broadcast_to(item.call_s, shape)[of]
    parts = step(replace(each, vpp=vpp, micro_batches=one.micro_batches[of]), by.software)
    busy = parts.kernels_s + parts.exposed_s + parts.waiting_s
    if len(of) != len(one.vpp):  # whatever moves is of plans that are each a shape of their own
        return parts.total
    own = np.argsort(of)  # the plan of each shape
    moved = offload.seconds(case, updated(case, plan.held), stored_each(case), busy[own])
    return np.asarray(parts.total + (moved[0] + moved[1])[of])


def _served(plan: Shape, by: Calibration) -> dict[str, Array]:
    length = plan.case.workload.longest
    let_in = replace(plan, case=room.running(plan.case, plan.held, length))
    first, each = prompts_seconds(let_in, length, by)[0], token_seconds(let_in, length, by)[0]
    found = _held(plan) | {"ttft_s": first, "tpot_s": each}
    return found | together.seen(plan, let_in, first, each, by)
