"""The whole cost of a plan, and its dictionary: `params`, `memory`, `communication` and `projection` of plan.json."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.costs import room, serve, together
from compiler.costs.calibration import Calibration
from compiler.costs.comm.communicators import Communicators, communicators
from compiler.costs.comm.dispatch import Form, forms
from compiler.costs.comm.timed import Row
from compiler.costs.numbers import plain, whole
from compiler.costs.shape import Shape, shape
from compiler.costs.uncertainty import Uncertainty
from compiler.costs.work.forward import one_token, prompt_pass, whole_sequences
from compiler.costs.work.memory import Memory, memory
from compiler.costs.work.params import Counts, Totals, stored_bytes
from compiler.frozen import dataclass
from compiler.world import World

if TYPE_CHECKING:
    from compiler.costs.campaign import Campaign
    from compiler.costs.train import Train


@dataclass(frozen=True)
class Costs:
    """What a plan costs. `worst_ranks` holds the first rank of each stage; prefill and decode are empty for training.
    `unseen`: what no measurement is near to. `least_bytes`: of a server that runs one sequence at a time.
    """

    params: Totals
    weights_bytes: float
    held: Counts
    memory: Memory
    capacity_bytes: float
    worst_ranks: tuple[int, ...]
    communicators: Communicators
    dispatch: tuple[Form, ...]
    communication: tuple[Row, ...]
    projection: Train | None
    prefill: tuple[serve.Prefill, ...] = ()
    decode: tuple[serve.Decode, ...] = ()
    unseen: tuple[str, ...] = ()
    campaign: Campaign | None = None
    aggregated: tuple[together.Aggregated, ...] = ()
    least_bytes: float | None = None
    memory_interval: tuple[float, float] | tuple[None, None] = (None, None)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers only; None where a number has no meaning (a GPU without a peak for the precision, say)."""
        return {
            "params": self._params(),
            "memory": self._memory(),
            "communicators": asdict(self.communicators),
            "dispatch": [plain(asdict(form)) for form in self.dispatch],
            "communication": [plain(asdict(row)) for row in self.communication],
            "projection": self._projection(),
        }

    def _params(self) -> dict[str, Any]:
        """Parameter counts are whole numbers."""
        p = self.params
        found = {
            "total": p.dense + p.moe,
            "active": p.active,
            "dense": p.dense,
            "moe": p.moe,
            "declared_total": p.declared,
            "weights_bytes": self.weights_bytes,
            "per_rank_max": float(self.held.total.max()),
            "derived_dense": p.derived_dense,
            "derived_moe": p.derived_moe,
            "mtp": p.mtp,
            "per_expert": p.per_expert,
            "per_expert_all_layers": p.per_expert_all_layers,
        }
        return {key: whole(value) for key, value in found.items()}

    def _memory(self) -> dict[str, Any]:
        """Each stage's fullest rank; the headline is the fullest stage, the first of them where several are equal."""
        stages = [self._stage(index) for index in range(len(self.worst_ranks))]
        fullest = max(stages, key=lambda stage: stage["total_bytes"] or 0)
        headline = {key: value for key, value in fullest.items() if key != "pp"}
        low, high = (whole(value) for value in self.memory_interval)
        return {**headline, "total_low_bytes": low, "total_high_bytes": high, "stages": stages}

    def _stage(self, index: int) -> dict[str, Any]:
        """One stage's parts, whole bytes that add up to its total."""
        parts = {name: whole(float(values[index])) for name, values in vars(self.memory).items()}
        return {
            "pp": index,
            **parts,
            "total_bytes": sum(part or 0 for part in parts.values()),
            "capacity_bytes": whole(self.capacity_bytes),
            "worst_rank": self.worst_ranks[index],
        }

    def _projection(self) -> dict[str, Any]:
        if self.projection is not None:
            run = plain(asdict(self.campaign)) if self.campaign else {}
            return {"train": {**plain(asdict(self.projection)), **run}}
        found: dict[str, tuple[Any, ...]] = {
            "prefill": self.prefill,
            "decode": self.decode,
            "aggregated": self.aggregated,
        }
        return {"serve": {name: [plain(asdict(row)) for row in rows] for name, rows in found.items()}}


def cost(world: World, by: Calibration, known: Uncertainty = Uncertainty()) -> Costs:  # noqa: B008 (frozen)
    """Cost one plan, each projection with the interval that is known of its family.

    Never fails: what is wrong is for the invariants to say.
    """
    with np.errstate(all="ignore"):  # a number without meaning travels as nan or inf and leaves as None
        plan = shape(world)
        common = replace(_held(world, plan), unseen=by.unseen, dispatch=_dispatch(plan, by))
        phases = _trained if plan.case.workload.train else _served
        return _with_intervals(phases(common, plan, by), known)


def _with_intervals(costs: Costs, known: Uncertainty) -> Costs:
    """Intervals of every time, where residuals of its family are kept."""

    def around(family: str, name: str, row: Any) -> Any:
        low, high = known.around(family, getattr(row, f"{name}_s"))
        return row if low is None else replace(row, **{f"{name}_low_s": low, f"{name}_high_s": high})

    step = costs.projection
    return replace(
        costs,
        projection=None if step is None else around("step", "step_time", step),
        prefill=tuple(around("ttft", "ttft", row) for row in costs.prefill),
        decode=tuple(around("tpot", "tpot", row) for row in costs.decode),
        aggregated=tuple(together.sure(row, known) for row in costs.aggregated),
        memory_interval=room.interval(costs.memory, costs.least_bytes, costs.capacity_bytes, known),
    )


def held(world: World) -> Costs:
    """What ranks hold, and no time."""
    with np.errstate(all="ignore"):
        return _held(world, shape(world))


def _held(world: World, plan: Shape) -> Costs:
    this = plan.case
    return Costs(
        params=plan.whole,
        weights_bytes=stored_bytes(this.model, plan.whole, this.widths),
        held=plan.held,
        memory=memory(this, plan.held) if this.workload.train else room.served(this, plan.held),
        capacity_bytes=world.config.hardware.gpu.memory_bytes,
        worst_ranks=tuple(int(rank) for rank in world.groups["pp"][0]),
        communicators=communicators(this),
        dispatch=(),
        communication=(),
        projection=None,
    )


def _trained(common: Costs, plan: Shape, by: Calibration) -> Costs:
    """With a step, its traffic, and what a run of steps comes to. A plan that serves has no need of these modules."""
    from compiler.costs import offload
    from compiler.costs.campaign import campaign
    from compiler.costs.train import train
    from compiler.costs.work.activations import stored_each
    from compiler.costs.work.memory import updated

    case = plan.case
    step, rows = train(plan, by)
    step = offload.added(case, updated(case, plan.held), stored_each(case), step)
    run = campaign(case.workload, step, int(case.ranks))
    return replace(common, communication=tuple(rows), projection=step, campaign=run)


def _served(common: Costs, plan: Shape, by: Calibration) -> Costs:
    """With the phases that the plan has, at each length, of the requests that run at a time; and their traffic."""
    workload = plan.case.workload
    each = [(length, _running(plan, length)) for length in workload.sequence_lengths]
    prompts, tokens = (each if workload.role in (None, role) else [] for role in ("prefill", "decode"))
    prefill = tuple(serve.prefill(this, length, by) for length, this in prompts)
    decode = tuple(serve.decode(this, length, by) for length, this in tokens)
    return replace(
        common,
        communication=tuple(serve.rows(longest(plan), by)),
        prefill=prefill,
        decode=decode,
        aggregated=tuple(together.rows(plan, prefill, decode, by)),
        least_bytes=float(room.least(plan.case, common.memory).max()),
    )


def _running(plan: Shape, length: int) -> Shape:
    """With the requests of prompts of `length` that run at a time."""
    return replace(plan, case=room.running(plan.case, plan.held, length))


def longest(plan: Shape) -> Shape:
    """With the requests of the longest prompts that run at a time."""
    return _running(plan, plan.case.workload.longest) if plan.case.workload.sequence_lengths else plan


def _dispatch(plan: Shape, by: Calibration) -> tuple[Form, ...]:
    """Ways to send tokens to experts, in each phase that a plan has."""
    workload = plan.case.workload
    if not plan.case.model.moe:
        return ()
    if workload.train:
        case = plan.case
        phases = [whole_sequences(case, "train", workload.longest)]
    else:
        case = longest(plan).case
        phases = [prompt_pass(case, workload.longest), one_token(case, workload.longest)]
        phases = [forward for forward in phases if workload.role in (None, forward.phase)]
    return tuple(form for forward in phases for form in forms(case, forward, plan.reaches["ep"], by.gpu))
