"""Where a projection rests on measurements of something else."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, warned
from compiler.costs.total import Costs
from compiler.invariants.registry import costed
from compiler.world import World


@costed("measured")
def measured(world: World, costs: Costs) -> Iterator[Check]:
    """GPU, precision, framework and scale of a projection should have been measured; of a release the latest stands in."""
    hardware = world.config.hardware
    if hardware.calibration is None:
        yield warned(
            observed="assumed curves",
            limit="measured curves",
            message=f"no measured curves of {hardware.name}: times are by curves assumed from its file's rates",
            fix="fit some with python -m compiler.calibrate and name them in hardware.calibration, or take the times as rough",
        )
        return
    releases = [note for note in costs.unseen if note.startswith("release ")]  # nobody can measure what runs elsewhere
    others = [note for note in costs.unseen if note not in releases]
    known = "GPU, precision, framework and scale of the projection were measured"
    yield check(
        holds=not others,
        observed=str(len(others)),
        limit="0",
        message="; ".join([f"the projection extrapolates ({'; '.join(others)})" if others else known, *releases]),
        fix=_fix(others),
        otherwise=Status.WARN,
    )


def _fix(notes: list[str]) -> str:
    """A framework can be named; the rest has to be measured."""
    if all(note.startswith("framework none:") for note in notes):
        return "write the framework that will run it, as in framework=megatron or framework=vllm"
    return "time a few of your own runs and give them to python -m compiler.calibrate, or take the times as rough"
