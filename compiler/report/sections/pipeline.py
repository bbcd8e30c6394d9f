"""One step of the pipeline, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from compiler.plan import Plan
from compiler.report.blocks import Section
from compiler.report.breakdown import STEP
from compiler.report.figures import Lanes, Piece
from compiler.report.told import numbered

if TYPE_CHECKING:
    from compiler.costs.timeline import Timeline

REPORT, CONSOLE = (95, None)


def of(plan: Plan) -> Timeline | None:
    """The timeline of a plan that trains; None of another one, and where its schedule does not exist for its numbers."""
    if not plan.alone or plan.costs.projection is None:
        return None
    from compiler.costs.timeline import timeline  # what serves has no need of it
    from compiler.speed import calibrated

    return timeline(plan.world, calibrated.of(plan.config), plan.costs.projection)


def sections(plan: Plan, contents: Mapping[str, Any]) -> Iterator[Section]:
    found = of(plan)
    if found is not None:
        yield Section("Pipeline", (_lanes(contents, found),))


def _lanes(contents: Mapping[str, Any], found: Timeline) -> Lanes:
    path, words = "projection.train", dict(STEP)
    lanes = tuple((f"stage {pp}", tuple(Piece(*event) for event in events)) for pp, events in enumerate(found.ranks))
    return Lanes(
        name="timeline",
        title="One step of the pipeline",
        about="Forward and backward passes of each micro-batch on each stage, replayed; hatched is the bubble. `timeline=true` "
        "writes timeline.json, the same for Perfetto.",
        lanes=lanes,
        pipeline_s=found.pipeline_s,
        tail=tuple(numbered(contents, f"{path}.{key}", words[key]) for key in found.tail),
        whole=numbered(contents, f"{path}.step_time_s", "step"),
    )
