"""A plan of a space as somebody would type it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.fixes.change import key, written
from compiler.searches import beside
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, NODES, STAGES, VPP, Space
from compiler.searches.vary import current
from compiler.searches.watched import DEGREES
from compiler.specs.degrees import Degrees


def degrees(space: Space, plans: Plans, at: int) -> Degrees:
    return Degrees(**{name: int(plans.chosen[name][at]) for name in DEGREES}, moe=space.config.model.moe)


def name(space: Space, plans: Plans, at: int) -> str:
    """Degrees in a word, of both pools where there are two."""
    return beside.name(space, plans, at) or degrees(space, plans, at).name


def choice(space: Space, plans: Plans, at: int) -> list[str]:
    """Overrides that make the plan, and say nothing that holds anyway."""
    return list(_choice(space, plans, at))


def _choice(space: Space, plans: Plans, at: int) -> Iterator[str]:
    space = space.of(plans, at)
    if space.config.search.frameworks:  # a list, which the plan's own takes the place of
        yield f"framework={space.config.framework.name}"
    if beside.paired(plans, at):
        yield from (f"{name}={value}" for name, value in beside.overrides(space, plans, at))
        keys = [NODES]
    else:
        yield f"parallel={degrees(space, plans, at).name}"
        stages = space.stages(plans, at)
        if stages is not None and space.config.parallel.stages is None:
            yield f"{STAGES}={written(stages)}"
        keys = [*(name for name, _ in space.varied()), INSTANCES, NODES]
    for name in keys:
        value = plans.value(name, at)
        if value != current(space.config, name):
            yield f"{name}={written(value)}"


def overrides(space: Space, given: Sequence[str], plans: Plans, at: int) -> list[str]:
    """The user's own, with the plan's in the place of the search."""
    chosen = choice(space, plans, at)
    again = {*map(key, chosen), *(f"parallel.{name}" for name in (*DEGREES, "dp")), "parallel", VPP}
    kept = [item for item in given if key(item) not in again and not key(item).startswith("search")]
    return [*kept, *chosen]
