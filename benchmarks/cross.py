"""Cross-validation: each source, or each model, is predicted by constants that were fitted to all the others; and what was
measured last, by those that were fitted to what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks import curves, fits
from benchmarks.fits import Constants, Samples
from benchmarks.predict import memory_bytes
from benchmarks.rows.record import Record
from compiler.speed import selection
from compiler.speed.fit.levels import Keys

PARTS: dict[str, Callable[[Record], str]] = {
    "source": lambda record: record.source,
    "model": lambda record: record.architecture if record.world else record.gpu or record.model,
    "date": lambda record: record.date,
}
"""What is left out at a time. A collective has no model: its GPU is left out instead. A model is left out of all sources at once, and
under all its names.
"""

EARLIER = 0.7
"""Part of the rows that have a date, after which those that are left come."""


def left_out(records: Sequence[Record], part: str) -> list[float]:
    """A prediction for each record, nan where it is skipped. No fit makes memory's constants, so that a memory row is
    predicted as ever.
    """
    found = {id(record): float("nan") for record in records}
    found |= {id(r): memory_bytes(r) for r in records if r.family == "memory" and not r.skipped}
    if part == "date":
        found = dict.fromkeys(found, float("nan"))
    else:
        found |= {id(record): value for record, value in curves.left_out(records, PARTS[part])}
    for samples in (fits.steps(records), fits.requests(records)):
        for record, value in _left_out(samples, part):
            found[id(record)] = value
    return [found[id(record)] for record in records]


def as_released(keys: Keys, samples: Samples, constants: Constants) -> Keys:
    """With a training release that no other row ran in the place of which the program takes another."""
    if not samples.training:
        return keys
    family, _, release = keys["release"].partition("/")
    chosen = selection.release_key(fits.table(samples.scheme, constants), family, release)
    return {**keys, "release": chosen, "product": selection.product(chosen)}


def _left_out(samples: Samples, part: str) -> list[tuple[Record, float]]:
    """Every fit begins where that to all samples ends."""
    first: Constants | None = None
    found: list[tuple[Record, float]] = []
    for out in _later(samples) if part == "date" else _each(samples, PARTS[part]):
        first = first or fits.fitted(samples)
        apart = samples.take(out)
        constants = fits.fitted(samples.take(sorted({*range(len(samples.records))} - {*out})), first)
        apart = replace(apart, keys=[as_released(keys, apart, constants) for keys in apart.keys])
        found += list(zip(apart.records, fits.said(apart, constants).tolist(), strict=True))
    return found


def _each(samples: Samples, key: Callable[[Record], str]) -> Iterator[list[int]]:
    """Indices of the samples of each source or model; none where there is one."""
    names = [key(record) for record in samples.records]
    kinds = sorted(set(names))
    for name in kinds if len(kinds) > 1 else ():
        yield [i for i, other in enumerate(names) if other == name]


def _later(samples: Samples) -> Iterator[list[int]]:
    """Indices of those that were measured last, family by family; of a family without dates none."""
    families = sorted({record.family for record in samples.records})
    last = {family: _bound([r.date for r in samples.records if r.family == family and r.date]) for family in families}
    out = [i for i, record in enumerate(samples.records) if record.date > last[record.family]]
    if 0 < len(out) < len(samples.records):
        yield out


def _bound(dates: list[str]) -> str:
    """The date until which a fit sees rows; beyond all of them where there are no dates."""
    return sorted(dates)[int(EARLIER * (len(dates) - 1))] if dates else "~"
