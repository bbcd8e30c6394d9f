"""What a sweep says to people: which plan is best, and all of them beside each other. Numbers are those of `summary.csv`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from compiler.costs.arrays import front
from compiler.report.blocks import Items, Section, Table, shown
from compiler.report.breakdown import AROUND
from compiler.report.figures import Point, Points
from compiler.report.told import Number, Told
from compiler.report.verdict import Answer
from compiler.words import gigabytes, number, readable, seconds, several

Row = Mapping[str, Any]
COLUMNS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "world_size": ("ranks", readable),
    "memory_bytes": ("memory of the fullest rank", gigabytes),
    "step_time_s": ("step", seconds),
    "ttft_s": ("TTFT", seconds),
    "tpot_s": ("TPOT", seconds),
    "tokens_per_s_per_gpu": ("tokens/s/GPU", number),
    "requests_per_s": ("requests/s", number),
}
"""Columns of the summary that a table shows, where any plan has them."""
RATE = "tokens_per_s_per_gpu"


def answers(rows: Sequence[Row], best: Sequence[str]) -> list[Answer]:
    """Which is best (a line of `name: words` each), and how many there are."""
    failed = sum(row["status"] != "ok" for row in rows)
    found = [Answer(*line.split(": ", 1)) for line in best]
    said = f"{len(rows) - failed} of {several(len(rows), 'plan')} compiled"
    return [*found, *_memory(rows), Answer("plans", said, "bad" if failed else "good")]


def _memory(rows: Sequence[Row]) -> Iterator[Answer]:
    """How full GPUs are; a plan that surely does not fit is not compiled."""
    parts = [row["memory_fraction"] for row in rows if row.get("memory_fraction") is not None]
    if parts:
        yield Answer(
            "memory", f"{_between(parts)} of a GPU's on the fullest rank", "good" if max(parts) <= 1 else "bad"
        )


def _between(parts: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{part:.1%}" for part in (min(parts), max(parts))))


def sections(rows: Sequence[Row]) -> Iterator[Section]:
    """A section of what failed, a figure where plans have two times to compare, and the table."""
    failed = tuple(
        f"**{row['overrides']}**: {problem}"
        for row in rows
        if row["status"] != "ok"
        for problem in str(row["message"]).split(" | ")
    )
    yield Section("What failed", shown([Items(failed)]), urgent=True)
    yield Section("Plans", shown([*_figures(rows), _table(rows)]))


def _table(rows: Sequence[Row]) -> Table:
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    cells = tuple(
        (row["job"], row["overrides"], *(_cell(index, row, key) for key in keys))
        for index, row in enumerate(rows)
        if row["status"] == "ok"
    )
    return Table(("plan", "overrides", *(COLUMNS[key][0] for key in keys)), cells)


def _cell(index: int, row: Row, key: str) -> str:
    value = row.get(key)
    return "" if value is None else Told(COLUMNS[key][1](value), ((_path(index, key), value),))


def _path(index: int, key: str) -> str:
    return f"summary.csv#{index}.{key}"


def _figures(rows: Sequence[Row]) -> Iterator[Points]:
    """Throughput over a step's time, and over TPOT: of plans that train and of those that serve."""
    for key, words in (("step_time_s", "step"), ("tpot_s", "TPOT")):
        found = [
            (index, row) for index, row in enumerate(rows) if row.get(key) is not None and row.get(RATE) is not None
        ]
        if len(found) > 1:
            times, rates = (np.array([float(row[name]) for _, row in found]) for name in (key, RATE))
            leading = front(times, -rates).tolist()
            yield Points(
                name=key.removesuffix("_s"),
                title=f"tokens/s/GPU over {words}",
                about="A point is a plan; further up and to the left is better. The line joins those that none beats in both."
                f" {AROUND}",
                x=words,
                y="tokens/s/GPU",
                x_unit="seconds",
                points=tuple(
                    _point(index, row, key, first) for (index, row), first in zip(found, leading, strict=True)
                ),
            )


def _point(index: int, row: Row, key: str, first: bool) -> Point:
    x, y = (Number(COLUMNS[name][0], row[name], _path(index, name)) for name in (key, RATE))
    ends = [Number(end, row[RATE] * row[end]) for end in ("low", "high") if row.get(end)]
    return Point(str(row["job"]), x, y, around=(ends[0], ends[1]) if len(ends) == 2 else None, front=first)
