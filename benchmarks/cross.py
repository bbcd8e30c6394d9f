"""Cross-validation: each source, or each model, is predicted by constants that were fitted to all the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import fits
from benchmarks.fits import Samples
from benchmarks.rows.record import Record

PARTS: dict[str, Callable[[Record], str]] = {
    "source": lambda record: record.source,
    "model": lambda record: record.world.config.model.name if record.world else record.model,
}


def left_out(records: Sequence[Record], part: str) -> list[float]:
    """Predictions of training and serving records; nan for the others."""
    found = {id(record): float("nan") for record in records}
    for samples in (fits.steps(records), fits.requests(records)):
        for record, value in _left_out(samples, PARTS[part]):
            found[id(record)] = value
    return [found[id(record)] for record in records]


def _left_out(samples: Samples, key: Callable[[Record], str]) -> list[tuple[Record, float]]:
    """Every fit begins where that to all samples ends."""
    names = [key(record) for record in samples.records]
    kinds = sorted(set(names))
    if len(kinds) < 2:
        return []
    first, found = fits.fitted(samples), []
    for name in kinds:
        out = [i for i, other in enumerate(names) if other == name]
        kept = [i for i, other in enumerate(names) if other != name]
        apart = samples.take(out)
        constants = fits.fitted(samples.take(kept), first)
        found += list(zip(apart.records, fits.said(apart, constants).tolist(), strict=True))
    return found
