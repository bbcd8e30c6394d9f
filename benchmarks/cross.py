"""Cross-validation: each source, or each model, is predicted by constants that were fitted to all the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks import curves, fits
from benchmarks.fits import Constants, Samples
from benchmarks.predict import memory_bytes
from benchmarks.rows.record import Record
from compiler.speed import selection
from compiler.speed.fit.levels import Keys

PARTS: dict[str, Callable[[Record], str]] = {
    "source": lambda record: record.source,
    "model": lambda record: record.world.config.model.name if record.world else record.gpu or record.model,
}
"""What is left out at a time. A collective has no model: its GPU is left out instead."""


def left_out(records: Sequence[Record], part: str) -> list[float]:
    """A prediction for each record, nan where it is skipped. No fit makes memory's constants, so that a memory row is
    predicted as ever.
    """
    found = {id(record): float("nan") for record in records}
    found |= {id(r): memory_bytes(r) for r in records if r.family == "memory" and not r.skipped}
    found |= {id(record): value for record, value in curves.left_out(records, PARTS[part])}
    for samples in (fits.steps(records), fits.requests(records)):
        for record, value in _left_out(samples, PARTS[part]):
            found[id(record)] = value
    return [found[id(record)] for record in records]


def as_released(keys: Keys, samples: Samples, constants: Constants) -> Keys:
    """With a training release that no other row ran in the place of which the program takes another."""
    if not samples.training:
        return keys
    family, _, release = keys["release"].partition("/")
    chosen = selection.release_key(fits.table(samples.scheme, constants), family, release)
    return {**keys, "release": chosen, "product": selection.product(chosen)}


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
        apart = replace(apart, keys=[as_released(keys, apart, constants) for keys in apart.keys])
        found += list(zip(apart.records, fits.said(apart, constants).tolist(), strict=True))
    return found
