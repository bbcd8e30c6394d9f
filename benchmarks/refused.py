"""Measured training runs that a plan's memory says could not have been: each ran, so that its row leaves something unsaid or the rule
is at fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmarks.features import TRAINING
from benchmarks.rows.record import UNFIT, Record
from compiler.costs.shape import shape
from compiler.costs.work.memory import memory

UNEXPLAINED = "a fault of the rule, as nothing of it is unsaid"


def share(record: Record) -> float:
    """Memory of the fullest rank over what a GPU has; 0 for what is no training run, or cannot be costed."""
    if record.world is None or record.family not in TRAINING or record.skipped:
        return 0.0
    try:
        plan = shape(record.world)
        return float(memory(plan.case, plan.held).total_bytes.max()) / plan.case.hardware.gpu.memory_bytes
    except UNFIT:
        return 0.0


def runs(records: Iterable[Record]) -> Iterator[str]:
    """A line for each, with its cause."""
    found = sorted(((share(record), record) for record in records), key=lambda item: (-item[0], item[1].id))
    for part, record in found:
        if part > 1:
            why = f"no {record.unsaid}" if record.unsaid else UNEXPLAINED
            yield f"{100 * part:>6.1f} %  {record.id}: {why}"
