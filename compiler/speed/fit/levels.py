"""Constants by level: what all share, times what each kind of software or GPU changes.

All constants are factors, so their logarithms add up. Those of a level are held near 0, or where they start, by a prior of
their own; a key that was not measured is at 0. Few rows can thus change little, and many can change much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np

from compiler.costs.arrays import Array
from compiler.frozen import dataclass
from compiler.speed.fit.least_squares import STEP, minimise

Keys = Mapping[str, str]
"""What selects the constants of a sample: level -> key."""

Slot = tuple[str, str, str]
"""Level ("shared" for all), key, and the name of a constant."""

Evaluate = Callable[[Mapping[str, Array]], Array]
"""Constants of every sample, arrays of shape [samples] -> logarithms of what is predicted."""


@dataclass(frozen=True)
class Scheme:
    """Starting values of the shared constants, how far they may move, and how far each level may change which of them.

    `starts`: factors of slots that do not start at 1.
    """

    defaults: Mapping[str, float]
    shared: Mapping[str, float]
    spreads: Mapping[str, Mapping[str, float]]
    starts: Mapping[Slot, float] = field(default_factory=dict)

    def slots(self, keys: Sequence[Keys]) -> list[Slot]:
        found = sorted({item for key in keys for item in key.items() if item[0] in self.spreads and item[1]})
        shared = [("shared", "", name) for name, spread in self.shared.items() if spread > 0]
        return shared + [(level, key, name) for level, key in found for name in self.spreads[level]]

    def spread(self, slot: Slot) -> float:
        level, _, name = slot
        return self.shared[name] if level == "shared" else self.spreads[level][name]

    def design(self, slots: Sequence[Slot], keys: Sequence[Keys]) -> dict[str, Array]:
        """For each constant, which slots make it up for which sample: [samples, slots]."""
        found = {name: np.zeros((len(keys), len(slots))) for name in self.defaults}
        for column, (level, key, name) in enumerate(slots):
            found[name][:, column] = [level == "shared" or item.get(level) == key for item in keys]
        return found

    def values(self, design: Mapping[str, Array], x: Array) -> dict[str, Array]:
        """Constants of every sample, their logarithms."""
        return {name: np.log(self.defaults[name]) + matrix @ x for name, matrix in design.items()}


def fit(
    scheme: Scheme,
    keys: Sequence[Keys],
    evaluate: Evaluate,
    target: Array,
    weight: Array,
    first: Mapping[Slot, float] | None = None,
) -> dict[Slot, float]:
    """Logarithms of the factors that explain `target` (logarithms) best; `first` are those of a similar fit."""
    slots = scheme.slots(keys)
    start = np.log([scheme.starts.get(slot, 1.0) for slot in slots])
    spread = np.array([scheme.spread(slot) for slot in slots])
    begin = start if first is None else np.array([first.get(slot, at) for slot, at in zip(slots, start, strict=True)])
    samples = _Samples(scheme, scheme.design(slots, keys), evaluate, target, weight)
    x = minimise(samples.residuals, start, spread, robust=3.0, first=begin, slopes=samples.slopes)
    return dict(zip(slots, (float(value) for value in x), strict=True))


@dataclass(frozen=True)
class _Samples:
    """Samples of a fit, as functions of the slots' logarithms `x`."""

    scheme: Scheme
    design: Mapping[str, Array]
    evaluate: Evaluate
    target: Array
    weight: Array

    def residuals(self, x: Array) -> Array:
        """Shape [samples]."""
        return np.asarray(self.weight * (self.evaluate(_exp(self.scheme.values(self.design, x))) - self.target))

    def slopes(self, x: Array) -> Array:
        """Derivatives of `residuals`, shape [samples, slots]: a constant is evaluated once for all slots that make it up."""
        values = self.scheme.values(self.design, x)
        now, found = self.evaluate(_exp(values)), np.zeros((len(self.target), len(x)))
        for name, matrix in self.design.items():
            there = self.evaluate(_exp({**values, name: values[name] + STEP}))
            found += ((there - now) / STEP * self.weight)[:, None] * matrix
        return found


def _exp(values: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.exp(value) for name, value in values.items()}


def predicted(scheme: Scheme, found: Mapping[Slot, float], keys: Sequence[Keys], evaluate: Evaluate) -> Array:
    """Logarithms of what the constants say of other samples."""
    slots = list(found)
    values = scheme.values(scheme.design(slots, keys), np.array(list(found.values())))
    return evaluate(_exp(values))


def balanced(sources: Sequence[str], enough: float, noise: float) -> Array:
    """Weights that let no source count for more than `enough` samples."""
    counts = {source: sources.count(source) for source in set(sources)}
    return np.array([np.sqrt(min(enough, counts[source]) / counts[source]) for source in sources]) / noise
