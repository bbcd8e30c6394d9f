"""The constants of training steps, fitted to measured ones. Spreads were chosen by the error on what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.costs.arrays import Array
from compiler.costs.software import Software
from compiler.costs.step import Work, step
from compiler.speed.fit.levels import Evaluate, Scheme

NAMES = tuple(item.name for item in fields(Software))
NOISE = 0.06
"""Spread of measured steps around a good model, in logarithms."""

ENOUGH = 30.0
"""Rows of one source beyond which more of them count no more."""

SCHEME = Scheme(
    defaults={name: getattr(Software(), name) for name in NAMES},
    shared=dict.fromkeys(NAMES, 0.7)
    | {"scale": 0.0, "core": 0.5, "accumulated": 0.3, "scores": 0.2, "products": 0.2, "grouped": 0.15}
    | {"tp": 0.3, "ep": 0.3, "ep_far": 0.3, "ep_once": 0.3, "dp": 0.3, "fsdp": 0.4, "window": 0.5, "kernel_s": 0.1},
    spreads={
        "framework": {"core": 0.1, "elementwise": 0.15, "tp": 0.15, "dp": 0.15, "window": 0.7, "scale": 0.05},
        "product": {"tp": 0.2, "scale": 0.15},
        "release": {"scale": 0.05},
        "generation": {"products": 0.1, "grouped": 0.08, "core": 0.2, "scores": 0.5, "elementwise": 0.1}
        | {"permuted": 0.25},
        "gpu": {"products": 0.06, "dp": 0.2, "scale": 0.05},
        "precision": {"products": 0.12, "grouped": 0.1, "elementwise": 0.25},
    },
)
"""How far each level may change a constant, in logarithms."""

OF_A_STEP = ("scale", "dp", "window", "micro_s", "step_s")


def stack(works: Sequence[Work]) -> Iterator[tuple[NDArray[np.intp], Work]]:
    """Indices of plans with one schedule and as many stages, and their work as one, shape [plans, stages]."""
    kinds = [(work.schedule, work.products.shape[-1]) for work in works]
    for kind in sorted(set(kinds)):
        index = np.array([at for at, other in enumerate(kinds) if other == kind])
        yield index, _joined([works[at] for at in index])


def _joined(works: Sequence[Work]) -> Work:
    found: dict[str, Any] = {"schedule": works[0].schedule}
    for item in fields(Work):
        if item.name == "schedule":
            continue
        columns = [getattr(work, item.name) for work in works]
        if isinstance(columns[0], dict):
            found[item.name] = {key: np.stack([column[key] for column in columns]) for key in columns[0]}
        else:
            found[item.name] = np.stack(columns)
    return Work(**found)


def evaluate(works: Sequence[Work]) -> Evaluate:
    """Logarithms of step times."""
    groups = list(stack(works))

    def logarithms(values: Mapping[str, Array]) -> Array:
        found = np.empty(len(works))
        for index, joined in groups:
            mine = software({name: value[index] for name, value in values.items()})
            found[index] = np.log(step(joined, mine).total)
        return found

    return logarithms


def software(values: Mapping[str, Array]) -> Software:
    """Constants of every sample, arrays of shape [samples, 1] for stages and [samples] for what happens in a step."""
    shaped = {name: value if name in OF_A_STEP else value[:, None] for name, value in values.items()}
    return Software(**shaped)  # type: ignore[arg-type]  # arrays in the place of numbers
