"""The whole cost of a plan, and its dictionary: `params`, `memory`, `communication` and `projection` of plan.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.costs import phases, room, serve, together
from compiler.costs.case import Case, case
from compiler.costs.communicators import Communicators, communicators
from compiler.costs.dispatch import Form, forms
from compiler.costs.exposed import Reaches, Row
from compiler.costs.forward import one_token, whole_sequences
from compiler.costs.links import reach
from compiler.costs.memory import Memory, memory
from compiler.costs.numbers import plain, whole
from compiler.costs.params import Counts, Totals, counts, stored_bytes, totals
from compiler.costs.uncertainty import Uncertainty
from compiler.world import World

if TYPE_CHECKING:
    from compiler.costs.calibration import Calibration
    from compiler.costs.campaign import Campaign
    from compiler.costs.train import Train

Bits = tuple[Case, Counts, Reaches]


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
    prefill_parts: tuple[phases.Detail, ...] = ()
    decode_parts: tuple[phases.Detail, ...] = ()
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
        fill, step = _rows(self.prefill, self.prefill_parts), _rows(self.decode, self.decode_parts)
        both = [plain(asdict(row)) for row in self.aggregated]
        return {"serve": {"prefill": fill, "decode": step, "aggregated": both}}


def cost(world: World, measured: Calibration | None = None, known: Uncertainty = Uncertainty()) -> Costs:  # noqa: B008 (frozen)
    """Cost one plan, by measured curves where there are some, each projection with the interval that is known of its family.

    Never fails: what is wrong is for the invariants to say.
    """
    return _with_intervals(_cost(world, measured), known)


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


def _cost(world: World, measured: Calibration | None) -> Costs:
    with np.errstate(all="ignore"):  # a number without meaning travels as nan or inf and leaves as None
        counted = this, _, _ = _counted(world)
        common = replace(_held(world, *counted), unseen=measured.unseen if measured else ())
        phase = _trained if this.workload.train else _served
        return phase(common, this, _reaches(world, this), world.size, measured)


def held(world: World) -> Costs:
    """What ranks hold, and no time."""
    with np.errstate(all="ignore"):
        return _held(world, *_counted(world))


def _held(world: World, this: Case, all_of_it: Totals, each: Counts) -> Costs:
    return Costs(
        params=all_of_it,
        weights_bytes=stored_bytes(this.model, all_of_it, this.widths),
        held=each,
        memory=memory(this, each) if this.workload.train else room.served(this, each),
        capacity_bytes=world.config.hardware.gpu.memory_bytes,
        worst_ranks=tuple(int(rank) for rank in world.groups["pp"][0]),
        communicators=communicators(this),
        dispatch=(),
        communication=(),
        projection=None,
    )


def _counted(world: World) -> tuple[Case, Totals, Counts]:
    this = case(world)
    all_of_it = totals(this.model)
    return this, all_of_it, counts(this, all_of_it)


def _reaches(world: World, this: Case) -> Reaches:
    return {kind: reach(world, kind) for kind in kinds(this)}


def bits(world: World) -> Bits:
    """What a plan's costs are made of."""
    this, _, each = _counted(world)
    return this, each, _reaches(world, this)


def _trained(common: Costs, case: Case, reaches: Reaches, ranks: int, measured: Calibration | None) -> Costs:
    """With a step, its traffic, and what a run of steps comes to. A plan that serves has no need of these modules."""
    from compiler.costs import offload
    from compiler.costs.activations import stored_each
    from compiler.costs.campaign import campaign
    from compiler.costs.memory import updated
    from compiler.costs.train import train

    step, rows = train(case, common.params, common.held, reaches, ranks, measured)
    step = offload.added(case, updated(case, common.held), stored_each(case), step)
    return replace(
        common,
        dispatch=_dispatch(case, reaches),
        communication=tuple(rows),
        projection=step,
        campaign=campaign(case.workload, step, ranks),
    )


def _served(common: Costs, case: Case, reaches: Reaches, ranks: int, measured: Calibration | None) -> Costs:
    """With the phases that the plan has, at each length, of the requests that run at a time; and their traffic."""
    workload, held = case.workload, common.held
    each = [(length, room.running(case, held, length)) for length in workload.sequence_lengths]
    prompts, tokens = (each if workload.role in (None, role) else [] for role in ("prefill", "decode"))
    longest = next((this for length, this in each if length == workload.longest), case)
    prefill = tuple(serve.prefill(this, held, reaches, ranks, length, measured) for length, this in prompts)
    decode = tuple(serve.decode(this, held, reaches, ranks, length, measured) for length, this in tokens)
    return replace(
        common,
        dispatch=_dispatch(longest, reaches),
        communication=tuple(serve.rows(longest, reaches)),
        prefill=prefill,
        decode=decode,
        aggregated=tuple(together.rows(case, held, reaches, ranks, prefill, decode, measured)),
        prefill_parts=tuple(phases.prefill(this, held, reaches, length, measured) for length, this in prompts),
        decode_parts=tuple(phases.decode(this, held, reaches, length, measured) for length, this in tokens),
        least_bytes=float(room.least(case, common.memory).max()),
    )


def _rows(rows: Iterable[Any], details: Iterable[phases.Detail]) -> list[dict[str, Any]]:
    """A phase at each length, with its parts."""
    return [plain({**asdict(row), **asdict(detail)}) for row, detail in zip(rows, details, strict=True)]


def _dispatch(case: Case, reaches: Reaches) -> tuple[Form, ...]:
    """Ways to send tokens to experts, in each phase that a plan has."""
    if not case.model.moe:
        return ()
    if case.workload.train:
        phases = [whole_sequences(case, "train", case.workload.longest)]
    else:
        phases = [whole_sequences(case, "prefill", case.workload.longest), one_token(case, case.workload.longest)]
        phases = [forward for forward in phases if case.workload.role in (None, forward.phase)]
    return tuple(form for forward in phases for form in forms(case, forward, reaches["ep"]))


def kinds(case: Case) -> list[str]:
    """The kinds of groups that any flow of this case runs on."""
    found = ["tp", "cp", "pp"] + ["ep", "etp"] * case.model.moe
    if case.workload.train:
        found += ["dp_cp" if case.cp > 1 else "dp"] + ["edp"] * case.model.moe
    return found
