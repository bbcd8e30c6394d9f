"""The constants of training steps, fitted to measured ones: what all share, and what each kind of software or GPU changes.

All constants are factors, so their logarithms add up: shared + framework + release + GPU + precision. Each but the shared
ones is held near 0 with the strength of a prior; a release or GPU that was not measured is at 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from compiler.costs.case import Array
from compiler.costs.software import Software
from compiler.costs.step import KINDS, Work, step
from compiler.fitting.least_squares import minimise

NAMES = tuple(item.name for item in fields(Software))
NOISE = 0.06
"""Spread of measured steps around a good model, in logarithms."""

ENOUGH = 30.0
"""Rows of one source beyond which more of them count no more."""

SHARED_SPREAD = 0.7
SPREADS: Mapping[str, Mapping[str, float]] = {
    "framework": {name: 0.35 for name in NAMES if name not in ("scale", "products", "grouped", "core")}
    | {"products": 0.1, "grouped": 0.2, "core": 0.2},
    "release": {"scale": 0.08},
    "gpu": {"products": 0.12, "core": 0.2, "elementwise": 0.1, "kernel_s": 0.1},
    "precision": {"products": 0.12, "grouped": 0.12, "elementwise": 0.25},
}
"""How far each level may change a constant, in logarithms."""


@dataclass(frozen=True)
class Sample:
    """A measured step: its work, seconds, source, and what selects its constants, by level."""

    work: Work
    seconds: float
    source: str
    model: str
    keys: Mapping[str, str]


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
    names = list(squeezed[0])
    columns = {name: np.stack([item[name] for item in squeezed]) for name in names}
    sides = {
        side: {kind: columns.pop(f"{side}.{kind}") for kind in KINDS} for side in ("ahead", "back")
    }
    scalars = {
        name: np.array([float(np.max(getattr(work, name))) for work in works])
        for name in ("micro_batches", "bubble_share")
    }
    return Work(**columns, **sides, **scalars)


@dataclass(frozen=True)
class Layout:
    """Where each constant of each key is in the vector of all."""

    slots: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Layout:
        """Every shared constant, and those of the keys that occur."""
        shared = [("shared", "", name) for name in NAMES if name != "scale"]
        keys = sorted({(level, key) for sample in samples for level, key in sample.keys.items()})
        return cls(tuple(shared + [(level, key, name) for level, key in keys for name in SPREADS[level]]))

    @property
    def spread(self) -> Array:
        return np.array([SHARED_SPREAD if level == "shared" else SPREADS[level][name] for level, _, name in self.slots])

    @property
    def start(self) -> Array:
        base = Software()
        return np.array([np.log(getattr(base, name)) if level == "shared" else 0.0 for level, _, name in self.slots])

    def design(self, samples: Sequence[Sample]) -> dict[str, Array]:
        """For each constant, which slots make it up for which sample: [samples, slots]."""
        found = {name: np.zeros((len(samples), len(self.slots))) for name in NAMES}
        for column, (level, key, name) in enumerate(self.slots):
            for row, sample in enumerate(samples):
                if level == "shared" or sample.keys[level] == key:
                    found[name][row, column] = 1.0
        return found

    def table(self, x: Array) -> dict[str, dict[str, dict[str, float]]]:
        """Level -> key -> constant: the shared ones as they are, the others as factors."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for (level, key, name), value in zip(self.slots, x, strict=True):
            found.setdefault(level, {}).setdefault(key, {})[name] = float(np.exp(value))
        return found


def software(design: Mapping[str, Array], x: Array) -> Software:
    """Constants of every sample, arrays of shape [samples, 1] for kernels and [samples] for what happens in a step."""
    values = {name: np.exp(matrix @ x) for name, matrix in design.items()}
    flat = ("scale", "dp", "optimizer", "micro_s", "step_s")
    return Software(**{name: value if name in flat else value[:, None] for name, value in values.items()})  # type: ignore[arg-type]  # arrays in the place of numbers


def fit(samples: Sequence[Sample], first: Mapping[tuple[str, str, str], float] | None = None) -> tuple[Layout, Array]:
    """The constants that explain the samples best; `first` are those of a similar fit, to begin with."""
    layout = Layout.of(samples)
    design, joined = layout.design(samples), stack([sample.work for sample in samples])
    seconds = np.log([sample.seconds for sample in samples])
    sources = [sample.source for sample in samples]
    counts = {source: sources.count(source) for source in set(sources)}
    weight = np.array([np.sqrt(min(ENOUGH, counts[s]) / counts[s]) for s in sources]) / NOISE
    start = layout.start
    begin = None if first is None else np.array([first.get(slot, start[i]) for i, slot in enumerate(layout.slots)])

    def residuals(x: Array) -> Array:
        return np.asarray(weight * (np.log(step(joined, software(design, x)).total) - seconds))

    return layout, minimise(residuals, start, layout.spread, robust=3.0, first=begin)
