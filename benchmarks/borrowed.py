"""Which records were predicted by constants of another release, because theirs was not measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from benchmarks.features import TRAINING
from benchmarks.rows.record import Record
from compiler.speed import files, selection


def releases(records: Iterable[Record]) -> list[str]:
    """A line for each release of a framework that was not measured, with what stands in for it."""
    found = Counter(filter(None, map(_release, records)))
    return [f"{count:>6}  {text}" for text, count in sorted(found.items())]


def _release(record: Record) -> str:
    if record.world is None or record.family in ("memory", "collectives"):
        return ""
    name, release = record.software
    file = "training" if record.family in TRAINING else "serving"
    table = files.load(file).get("constants", {})
    latest = selection.release_key(table, name, release)
    if name in table.get("backend", {}):  # no constant of an engine's hangs on a release
        return ""
    if latest == f"{name}/{release}":
        return ""
    instead = f"its latest, {latest.partition('/')[2]}" if latest else f"all {file} frameworks together"
    return (
        f"{record.family}: {name or 'no framework'} {release or 'of no given release'}, by the constants of {instead}"
    )
