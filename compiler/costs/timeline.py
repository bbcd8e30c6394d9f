"""When each stage of a training plan does what in one step: the replay of its schedule, in the seconds of its projection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compiler.costs.calibration import Calibration
from compiler.costs.pipeline.orders import FORWARD, Slot
from compiler.costs.pipeline.replay import Replayed
from compiler.costs.replayed import pipeline
from compiler.costs.shape import shape
from compiler.costs.step import passes, work
from compiler.costs.train import Train
from compiler.frozen import dataclass
from compiler.world import World

REPEATS = "R"
"""What stands for the micro-batches that no replay has run, which go on as those before them."""

Event = tuple[float, float, str, str]
"""Start and end in seconds, the kind of work, and the micro-batch and stage that it is of."""

TAIL = ("gradients_s", "optimizer_s", "fixed_s")
"""Parts of a step behind its pipeline, in this order: together they make it whole."""


@dataclass(frozen=True)
class Timeline:
    """Events of each pipeline rank, in order, up to `pipeline_s`; then the seconds of `tail`, by part. They add up to the step."""

    ranks: tuple[tuple[Event, ...], ...]
    pipeline_s: float
    tail: Mapping[str, float]


def timeline(world: World, by: Calibration, step: Train) -> Timeline | None:
    """The timeline of the step that was projected; None where its schedule does not exist for these numbers, and was costed in
    closed form.
    """
    with np.errstate(all="ignore"):
        plan = shape(world)
        found = pipeline(plan, by)(*passes(work(plan, by.gpu)[0], by.software)).replayed()
    whole = step.pipeline_s + step.bubble_s
    if found is None or not found.end_s > 0 or not np.isfinite(whole):
        return None
    unit = whole / found.end_s
    tail = {name: float(getattr(step, name)) for name in TAIL}
    ranks = tuple(tuple(_events(slots, found, unit)) for slots in found.slots)
    return Timeline(ranks, whole, tail)


def _events(slots: Sequence[tuple[float, float, Slot]], found: Replayed, unit: float) -> Iterator[Event]:
    """Of one rank; what repeats stands in the middle, before the first pass of the second half of those that were replayed."""
    moved, half = 0.0, found.shown // 2
    for start, end, slot in slots:
        if found.rest_s and not moved and slot[0].kind == FORWARD and slot[0].micro_batch >= half:
            moved = found.rest_s
            yield start * unit, (start + moved) * unit, REPEATS, "the micro-batches between"
        kind = "".join(op.kind for op in slot)
        label = ", ".join(f"micro-batch {op.micro_batch}, stage {op.stage}" for op in slot)
        yield (start + moved) * unit, (end + moved) * unit, kind, label
