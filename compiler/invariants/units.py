"""Physical quantities that nothing of today or soon has: in another unit, most likely."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, warned
from compiler.invariants.registry import declared
from compiler.specs.config import Config
from compiler.specs.ranges import unusual
from compiler.specs.units import written


@declared("unit")
def units(config: Config) -> Iterator[Check]:
    """Said where a quantity is out of its usual range, and of no other."""
    for key, known, value, fix in unusual(config):
        low, high = (written(bound) for bound in known.usual)
        side = "below" if value < known.usual[0] else "above"
        what = f"{key}={written(value)} {known.unit} is {side} what there is, {low} to {high} {known.unit}"
        yield warned(observed=written(value), limit=f"{low} to {high}", message=what, fix=fix)
