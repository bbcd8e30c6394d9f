"""The front of a search, drawn: what speed for one client costs all of them, or memory a step; and measured runs beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.fixes.change import written
from compiler.report.breakdown import AROUND
from compiler.report.figures import Point, Points
from compiler.report.told import Number
from compiler.searches.summary import beside, named
from compiler.words import several

WORDS = {
    "step_time_s": "step",
    "memory_bytes": "memory of the fullest rank",
    "tpot_s": "TPOT",
    "tokens_per_s_per_gpu": "tokens/s/GPU",
}
TRAIN = ("step_time_s", "memory_bytes", ("seconds", "bytes"))
SERVE = ("tpot_s", "tokens_per_s_per_gpu", ("seconds", "number"))
"""Columns of both axes, and their units."""
NEAR = 2.0
"""Times the greatest figure of the front that is drawn, up to which measured runs are."""
SLOW = 3.0
"""Times the shortest step, up to which plans are drawn that spare memory."""
FEW = 24
"""Plans that each have their interval; of more only the best one has."""


def axes(contents: Mapping[str, Any]) -> tuple[str, str, tuple[str, str]]:
    return SERVE if contents["best"]["step_time_s"] is None else TRAIN


def figure(contents: Mapping[str, Any]) -> Points:
    """Of the plans that none beats in both figures."""
    x, y, units = axes(contents)
    rows = _drawn(contents["front"], x)
    runs = tuple(_measured(contents, rows, x, y))
    diamond = " A diamond is a run that was measured." * bool(runs)
    left = len(contents["front"]) - len(rows)
    slower = f" {several(left, 'slower plan')} that take less memory stand in candidates.csv." * bool(left)
    return Points(
        name="front",
        title=f"{WORDS[y]} over {WORDS[x]}",
        about=f"A point is a plan that no other one beats in both. {AROUND}{diamond}{slower}",
        x=WORDS[x],
        y=WORDS[y],
        points=(*_plans(contents, rows, x, y), *runs),
        along="y" if x == "tpot_s" else "x",
        x_unit=units[0],
        y_unit=units[1],
        limits=tuple((f"search.{x}", "x", value) for name, value in contents["limits"].items() if name == x),
    )


def _drawn(rows: Sequence[Mapping[str, Any]], x: str) -> dict[int, Mapping[str, Any]]:
    """Rows of the front by their places in it."""
    most = SLOW * min(row[x] for row in rows) if x == "step_time_s" else math.inf
    return {at: row for at, row in enumerate(rows) if row[x] <= most}


def _plans(contents: Mapping[str, Any], rows: Mapping[int, Mapping[str, Any]], x: str, y: str) -> Iterator[Point]:
    """Each is named by what they differ in."""
    keys = ["degrees", *beside(contents)]
    differ = [key for key in keys if len({str(row[key]) for row in rows.values()}) > 1]
    for at, row in rows.items():
        path = f"summary.json#front.{at}"
        across, up = (Number(WORDS[key], row[key], f"{path}.{key}") for key in (x, y))
        around = _around(row, x, path) if len(rows) <= FEW or row["rank"] == 1 else None
        yield Point(_label(row, keys), across, up, around=around, front=True, name=_label(row, differ))


def _label(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(str(row[key]) if key == "degrees" else f"{named(key)} {written(row[key])}" for key in keys)


def _around(row: Mapping[str, Any], x: str, path: str) -> tuple[Number, Number] | None:
    """The interval of the rate, or of the step that the rate is of."""
    if row["low"] is None:
        return None
    if x == "tpot_s":
        return Number("low", row["low"], f"{path}.low"), Number("high", row["high"], f"{path}.high")
    tokens = row[x] * row["tokens_per_s_per_gpu"]
    return Number("low", tokens / row["high"]), Number("high", tokens / row["low"])


def _measured(contents: Mapping[str, Any], rows: Mapping[int, Mapping[str, Any]], x: str, y: str) -> Iterator[Point]:
    """Runs that have both figures, and are near enough to be seen beside the front."""
    far = {key: NEAR * max(row[key] for row in rows.values()) for key in (x, y)}
    for at, run in enumerate(contents.get("measured", ())):
        if all(run.get(key, math.inf) <= far[key] for key in (x, y)):
            path = f"summary.json#measured.{at}"
            across, up = (Number(WORDS[key], run[key], f"{path}.{key}") for key in (x, y))
            yield Point(f"measured: {run['degrees']}", across, up, measured=True)
