"""Where a projection rests on measurements of something else."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.costs.total import Costs
from compiler.invariants.registry import costed
from compiler.world import World


@costed
def measured(world: World, costs: Costs) -> Iterator[Check]:
    """GPU, precision, framework, release and scale of a projection should have been measured."""
    hardware = world.config.hardware
    if hardware.calibration is None:
        yield check(
            "measured",
            False,
            "a roofline",
            "measured curves",
            f"no measured curves of {hardware.name}: times are a roofline's over its file's rates",
            "fit some with python -m compiler.calibrate and name them in hardware.calibration, or take the times as rough",
            otherwise="warn",
        )
        return
    yield check(
        "measured",
        not costs.unseen,
        str(len(costs.unseen)),
        "0",
        "the projection extrapolates: " + "; ".join(costs.unseen)
        if costs.unseen
        else "GPU, precision, framework, release and scale of the projection were measured",
        "fit constants of your own with python -m benchmarks.fit_software, or take the times as rough",
        otherwise="warn",
    )
