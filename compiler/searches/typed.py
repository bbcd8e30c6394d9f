"""A plan of a space as somebody would type it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.fixes.change import written
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, STAGES, VPP, Space
from compiler.searches.vary import current
from compiler.searches.watched import DEGREES
from compiler.specs.degrees import Degrees


def degrees(space: Space, plans: Plans, at: int) -> Degrees:
    return Degrees(**{name: int(plans.chosen[name][at]) for name in DEGREES}, moe=space.config.model.moe)


def choice(space: Space, plans: Plans, at: int) -> list[str]:
    """Overrides that make the plan, and say nothing that holds anyway."""
    return list(_choice(space, plans, at))


def _choice(space: Space, plans: Plans, at: int) -> Iterator[str]:
    yield f"parallel={degrees(space, plans, at).name}"
    stages = space.stages(plans, at)
    if stages is not None and space.config.parallel.stages is None:
        yield f"{STAGES}={written(stages)}"
    for key in (*(key for key, _ in space.varied()), INSTANCES, NODES):
        value = plans.value(key, at)
        if value != current(space.config, key):
            yield f"{key}={written(value)}"


def overrides(space: Space, given: Sequence[str], plans: Plans, at: int) -> list[str]:
    """The user's own, with the plan's in the place of the search."""
    chosen = choice(space, plans, at)
    again = {item.partition("=")[0] for item in chosen} | {f"parallel.{name}" for name in (*DEGREES, "dp")} | {VPP}
    kept = [
        item
        for item in given
        if (key := item.partition("=")[0].lstrip("+~")) not in again and not key.startswith("search")
    ]
    return [*kept, *chosen]
