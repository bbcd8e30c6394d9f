"""What a site's own runs say: how much longer its steps, tokens and prompts take than is projected of others' runs."""

from __future__ import annotations

import math
from dataclasses import replace

from compiler.costs.calibration import Calibration
from compiler.costs.uncertainty import Residuals
from compiler.frozen import dataclass
from compiler.specs.fields import between

SITE = 0.5
"""Part of the variance of projections, of sites that no fit has seen, that all runs of a site and a kind of model share (assumed: dense
training's sources that were left out are off by 0.11, models of known sources by 0.075). The rest is each run's own.
"""

DECODE = ("decode", "d_tp", "d_ep")
PREFILL = ("prefill", "p_tp", "p_ep", "p_kernel_s", "p_expert_s", "p_mla_s", "p_step_s")
"""An engine's constants that together are on a decode step, and on a prompt, but for what travels between stages."""


@dataclass(frozen=True)
class Own:
    """Of a framework and a kind of model: factors on the constants of a step, of decode and of prefill, and how many runs say so."""

    step: float = between(0.1, 10, 1.0)
    decode: float = between(0.1, 10, 1.0)
    prefill: float = between(0.1, 10, 1.0)
    step_runs: int = between(0, 10**6, 0)
    decode_runs: int = between(0, 10**6, 0)
    prefill_runs: int = between(0, 10**6, 0)

    def on(self, by: Calibration) -> Calibration:
        """With the constants times the factors."""
        each = dict.fromkeys(DECODE, self.decode) | dict.fromkeys(PREFILL, self.prefill)
        engine = replace(by.engine, **{name: getattr(by.engine, name) * factor for name, factor in each.items()})
        return replace(by, software=replace(by.software, scale=by.software.scale * self.step), engine=engine)

    def runs(self, family: str) -> int:
        """That say something of a family of times; a rate hangs on both phases."""
        known = {"step": self.step_runs, "ttft": self.prefill_runs, "tpot": self.decode_runs}
        return known.get(family, min(self.decode_runs, self.prefill_runs))


def believed(mean: float, runs: int) -> float:
    """Of a mean logarithm of measured over projected, what is the site's own: the mean of its posterior."""
    return mean * runs * SITE / (runs * SITE + 1 - SITE)


def narrowed(known: Residuals, runs: int) -> Residuals:
    """How far the next run may be off, once so many have shifted the constants."""
    left = (1 - SITE) * (1 + SITE / (runs * SITE + 1 - SITE))
    return replace(known, spread=known.spread * math.sqrt(left))
