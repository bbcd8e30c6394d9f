"""Levenberg-Marquardt with numeric derivatives and a quadratic prior: small problems, no dependency."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEP = 1e-5
ROUNDS = 40
ENOUGH = 2e-4
PATIENCE = 3
"""Relative gain of a round that counts as none, and how many such rounds end the search."""


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
    x, damping = (start if first is None else first).astype(float).copy(), 1e-2
    pull = np.where(np.isfinite(spread), 1 / np.asarray(spread, float), 0.0) * np.ones_like(x)

    def weigh(r: Array) -> Array:
        size = np.maximum(np.abs(r), 1e-12)
        linear = np.sqrt(np.maximum(2 * robust * size - robust**2, 0))
        return np.asarray(np.where(size > robust, linear * np.sign(r), r))

    def all_(x: Array) -> Array:
        return np.concatenate([weigh(residuals(x)), pull * (x - start)])

    def numeric(x: Array, now: Array) -> Array:
        return np.stack([(all_(x + STEP * row) - now) / STEP for row in np.eye(len(x))], axis=1)

    def given(x: Array) -> Array:
        raw, size = slopes(x) if slopes else np.eye(len(x)), np.abs(residuals(x))
        bent = np.where(size > robust, robust / np.sqrt(np.maximum(2 * robust * size - robust**2, robust**2)), 1.0)
        return np.concatenate([raw * bent[:, None], np.diag(pull)])

    now = all_(x)
    idle = 0
    for _ in range(ROUNDS):
        tilt = numeric(x, now) if slopes is None else given(x)
        normal, gradient = tilt.T @ tilt, tilt.T @ now
        for _ in range(14):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -gradient)
            there = all_(x + step)
            if there @ there < now @ now:
                break
            damping *= 4
        else:
            break
        gained = 1 - float(there @ there) / max(float(now @ now), 1e-30)
        x, now, damping = x + step, there, max(damping / 5, 1e-9)
        idle = idle + 1 if gained < ENOUGH else 0
        if idle == PATIENCE:
            break
    return np.asarray(x)
