"""The constants of training steps, fitted to measured ones. Spreads were chosen by the error on what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.software import Software
from compiler.costs.step import KINDS, Work, step
from compiler.fitting.levels import Evaluate, Scheme

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
        "framework": dict.fromkeys(NAMES, 0.15)
        | {"products": 0.05, "grouped": 0.08, "core": 0.1, "window": 0.7, "scale": 0.05},
        "product": {"tp": 0.2, "ep": 0.15, "dp": 0.15, "kernel_s": 0.15, "elementwise": 0.1}
        | {"products": 0.1, "scale": 0.15},
        "release": {"scale": 0.05, "grouped": 0.1, "expert_s": 0.15, "wait_s": 0.5, "core": 0.15, "permuted": 0.3},
        "generation": {"products": 0.1, "grouped": 0.08, "core": 0.2, "scores": 2.0, "elementwise": 0.1}
        | {"permuted": 0.25, "kernel_s": 0.1, "expert_s": 0.1},
        "gpu": {"products": 0.06, "grouped": 0.04, "core": 0.1, "elementwise": 0.05, "permuted": 0.1}
        | {"dp": 0.2, "ep": 0.1, "kernel_s": 0.1, "scale": 0.05},
        "precision": {"products": 0.12, "grouped": 0.1, "elementwise": 0.25},
    },
)
"""How far each level may change a constant, in logarithms."""

OF_A_STEP = ("scale", "dp", "window", "optimizer", "micro_s", "step_s")


def squeeze(work: Work, width: int = 4) -> dict[str, Array]:
    """Columns of stages that differ, at most `width`, the slowest ones kept; `alike` counts what they stand for."""
    columns = {name: np.asarray(getattr(work, name)) for name in _array_names()}
    for side in ("ahead", "back"):
        for kind in KINDS:
            columns[f"{side}.{kind}"] = np.asarray(getattr(work, side)[kind])
    count = work.products.shape[-1]
    table = np.stack([np.broadcast_to(column, (count,)) for column in columns.values()])
    alike = list(columns).index("alike")
    _, index, inverse = np.unique(np.round(table, 12), axis=1, return_index=True, return_inverse=True)
    kept = table[:, index]
    kept[alike] = np.bincount(inverse.ravel(), minlength=len(index))
    order = np.argsort(-(kept[0] + kept[1] + kept[2]), kind="stable")
    kept = kept[:, order]
    if kept.shape[1] > width:
        rest = kept[:, width - 1 :]
        merged = (rest * rest[alike]).sum(axis=1) / rest[alike].sum()
        merged[alike] = rest[alike].sum()
        kept = np.concatenate([kept[:, : width - 1], merged[:, None]], axis=1)
    out = np.zeros((len(columns), width))
    out[:, : kept.shape[1]] = kept
    return dict(zip(columns, out, strict=True))


def _array_names() -> list[str]:
    return [item.name for item in fields(Work) if item.name not in ("ahead", "back", "micro_batches", "bubble_share")]


def stack(works: Sequence[Work]) -> Work:
    """Many plans' work as one, shape [plans, 4]."""
    squeezed = [squeeze(work) for work in works]
    columns: dict[str, Any] = {name: np.stack([item[name] for item in squeezed]) for name in squeezed[0]}
    for side in ("ahead", "back"):
        columns[side] = {kind: columns.pop(f"{side}.{kind}") for kind in KINDS}
    for name in ("micro_batches", "bubble_share"):
        columns[name] = np.array([float(np.max(getattr(work, name))) for work in works])
    return Work(**columns)


def evaluate(works: Sequence[Work]) -> Evaluate:
    """Logarithms of step times."""
    joined = stack(works)

    def logarithms(values: Mapping[str, Array]) -> Array:
        return np.asarray(np.log(step(joined, software(values)).total))

    return logarithms


def software(values: Mapping[str, Array]) -> Software:
    """Constants of every sample, arrays of shape [samples, 1] for stages and [samples] for what happens in a step."""
    shaped = {name: value if name in OF_A_STEP else value[:, None] for name, value in values.items()}
    return Software(**shaped)  # type: ignore[arg-type]  # arrays in the place of numbers
