"""What a map of experts to GPUs makes of measured loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from compiler.costs.total import Costs, cost
from compiler.expert_map import ExpertMap, expert_map
from compiler.plan import Plan
from compiler.report.blocks import Section, Table
from compiler.report.figures import Levels, Series
from compiler.report.told import Number
from compiler.speed import calibrated
from compiler.words import figures, gigabytes, number, seconds

REPORT, CONSOLE = (107, None)


LABELS = {False: "as it begins", True: "`experts.json`"}


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    found = expert_map(plan.world) if plan.alone and plan.config.experts.load is not None else None
    if found is not None:
        before, after = float(found.imbalance_before.mean()), float(found.balance.imbalance.mean())
        said = (
            f"The busiest of {found.gpus} GPUs has {number(before)} times the mean load of its layer as it begins, and "
            f"{number(after)} times with `experts.json`, the mean over {len(found.layers)} layers. {found.moved} experts are copied"
            " to GPUs that do not have them yet."
        )
        yield Section("Expert load", (said, _effect(plan), _levels(found)))


def _effect(plan: Plan) -> Table:
    """Time and memory with the placement that a job begins with by itself, and with the map."""
    own, by = plan.world.experts.by_layer, calibrated.of(plan.config)
    other = replace(plan.world, experts=replace(plan.world.experts, by_layer=not own))
    both = {own: plan.costs, not own: cost(other, by, calibrated.uncertainty(plan.config, by))}
    rows = (
        (f"{label}, as planned" if mapped == own else label, *_times(both[mapped]).values(), _memory(both[mapped]))
        for mapped, label in LABELS.items()
    )
    return Table(("placement of experts", *_times(plan.costs), "fullest rank"), tuple(rows))


def _times(costs: Costs) -> dict[str, str]:
    """A step's, or those of the longest prompt in each phase that the servers have."""
    if costs.projection is not None:
        return {"step": seconds(costs.projection.step_time_s)}
    found = [("first token", seconds(row.ttft_s)) for row in costs.prefill[-1:]]
    return dict([*found, *(("each further token", seconds(row.tpot_s)) for row in costs.decode[-1:])])


def _memory(costs: Costs) -> str:
    return gigabytes(costs.memory.total_bytes.max())


def _levels(found: ExpertMap) -> Levels:
    columns = {
        "as it begins": ("imbalance_before", found.imbalance_before),
        "with experts.json": ("imbalance", found.balance.imbalance),
    }
    series = tuple(
        Series(
            label,
            tuple(
                Number(f"layer {layer}", figures(value), f"experts.json#layers.{index}.{key}")
                for index, (layer, value) in enumerate(zip(found.layers, values.tolist(), strict=True))
            ),
        )
        for label, (key, values) in columns.items()
    )
    return Levels(
        name="experts",
        title="Load of the busiest GPU over the mean, by layer",
        about="1 is even: the less above it, the less the other GPUs wait.",
        axis="layer",
        labels=tuple(map(str, found.layers)),
        series=series,
    )
