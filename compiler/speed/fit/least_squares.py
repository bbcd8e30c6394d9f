"""Levenberg-Marquardt with numeric derivatives and a quadratic prior: small problems, and scipy is no dependency of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from compiler.frozen import dataclass

Array = NDArray[np.float64]
STEP = 1e-5
ROUNDS = 40
ENOUGH = 2e-4
PATIENCE = 3
"""Relative gain of a round that counts as none, and how many such rounds end the search."""

SHORTER = 14
"""How many times a step that gains nothing is tried again with more damping, and so shorter."""


def minimise(
    residuals: Callable[[Array], Array],
    start: Array,
    spread: Array | float = np.inf,
    robust: float = 1e9,
    first: Array | None = None,
    slopes: Callable[[Array], Array] | None = None,
) -> Array:
    """Parameters that make the sum of squared residuals least, with (x - start)/spread among them.

    `spread` (shape of `start`) pulls each parameter to its start; inf does not. Residuals beyond `robust` count linearly
    (Huber). `first`: where to begin, `start` unless it is given. `slopes`: derivatives of the residuals, else numeric.
    """
    x, damping, idle = (start if first is None else first).astype(float).copy(), 1e-2, 0
    pull = np.where(np.isfinite(spread), 1 / np.asarray(spread, float), 0.0) * np.ones_like(x)
    terms = _Terms(residuals, slopes, robust, start, pull)
    now = terms.at(x)
    for _ in range(ROUNDS):
        found = _downhill(terms, x, now, damping)
        if found is None:
            break
        x, there, damping = found
        gained = 1 - float(there @ there) / max(float(now @ now), 1e-30)
        now, damping = there, max(damping / 5, 1e-9)
        idle = idle + 1 if gained < ENOUGH else 0
        if idle == PATIENCE:
            break
    return np.asarray(x)


@dataclass(frozen=True)
class _Terms:
    """What is squared and summed: residuals (Huber's beyond `robust`), then each parameter's distance to its start times `pull`."""

    residuals: Callable[[Array], Array]
    slopes: Callable[[Array], Array] | None
    robust: float
    start: Array
    pull: Array

    def at(self, x: Array) -> Array:
        """Shape [residuals + parameters]."""
        raw = self.residuals(x)
        size = np.maximum(np.abs(raw), 1e-12)
        linear = np.sqrt(np.maximum(2 * self.robust * size - self.robust**2, 0))
        bent = np.asarray(np.where(size > self.robust, linear * np.sign(raw), raw))
        return np.concatenate([bent, self.pull * (x - self.start)])

    def tilt(self, x: Array, now: Array) -> Array:
        """Derivatives of `at`, shape [residuals + parameters, parameters]; `now` is its value."""
        if self.slopes is None:
            return np.stack([(self.at(x + STEP * row) - now) / STEP for row in np.eye(len(x))], axis=1)
        raw, size, robust = self.slopes(x), np.abs(self.residuals(x)), self.robust
        bent = np.where(size > robust, robust / np.sqrt(np.maximum(2 * robust * size - robust**2, robust**2)), 1.0)
        return np.concatenate([raw * bent[:, None], np.diag(self.pull)])


def _downhill(terms: _Terms, x: Array, now: Array, damping: float) -> tuple[Array, Array, float] | None:
    """The next parameters, their terms and the damping that it took; None where no step makes the sum smaller."""
    tilt = terms.tilt(x, now)
    normal, gradient = tilt.T @ tilt, tilt.T @ now
    for _ in range(SHORTER):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -gradient)
        there = terms.at(x + step)
        if there @ there < now @ now:
            return x + step, there, damping
        damping *= 4
    return None
