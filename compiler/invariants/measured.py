"""Where a projection rests on measurements of something else."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.costs.total import Costs
from compiler.invariants.registry import costed
from compiler.world import World


@costed
def measured(world: World, costs: Costs) -> Iterator[Check]:
    """Hardware with measured curves: its GPU, precision, framework and release should have been measured as well."""
    if world.config.hardware.calibration is None:
        return
    yield check(
        "measured",
        not costs.unseen,
        str(len(costs.unseen)),
        "0",
        "the projection extrapolates: " + "; ".join(costs.unseen)
        if costs.unseen
        else "GPU, precision, framework and release of the projection were measured",
        "fit constants of your own with python -m benchmarks.fit_software, or take the times as rough",
        otherwise="warn",
    )
