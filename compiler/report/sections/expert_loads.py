"""What a map of experts to GPUs makes of measured loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.expert_map import ExpertMap, expert_map
from compiler.plan import Plan
from compiler.report.blocks import Section
from compiler.report.figures import Levels, Series
from compiler.report.told import Number
from compiler.words import figures, number

REPORT, CONSOLE = (107, None)


def sections(plan: Plan, _: Mapping[str, Any]) -> Iterator[Section]:
    found = expert_map(plan.world) if plan.alone and plan.config.experts.load is not None else None
    if found is not None:
        before, after = float(found.imbalance_before.mean()), float(found.balance.imbalance.mean())
        said = (
            f"The busiest of {found.gpus} GPUs has {number(before)} times the mean load of its layer as a server begins, and "
            f"{number(after)} times with `experts.json`, the mean over {len(found.layers)} layers."
        )
        yield Section("Expert load", (said, _levels(found)))


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
