"""The front of a search, drawn: what speed for one client costs all of them, or memory a step; and measured runs beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.report.breakdown import AROUND
from compiler.report.figures import Point, Points
from compiler.report.told import Number
from compiler.searches.summary import named

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
"""Times the greatest figure of the front, up to which measured runs are drawn."""


def axes(contents: Mapping[str, Any]) -> tuple[str, str, tuple[str, str]]:
    return SERVE if contents["best"]["step_time_s"] is None else TRAIN


def figure(contents: Mapping[str, Any]) -> Points:
    """Of the plans that none beats in both figures."""
    x, y, units = axes(contents)
    runs = tuple(_measured(contents, x, y))
    diamond = " A diamond is a run that was measured." * bool(runs)
    return Points(
        name="front",
        title=f"{WORDS[y]} over {WORDS[x]}",
        about=f"A point is a plan that no other one beats in both. {AROUND}{diamond}",
        x=WORDS[x],
        y=WORDS[y],
        points=(*_plans(contents, x, y), *runs),
        along="y" if x == "tpot_s" else "x",
        x_unit=units[0],
        y_unit=units[1],
        limits=tuple((f"search.{x}", "x", value) for name, value in contents["limits"].items() if name == x),
    )


def _plans(contents: Mapping[str, Any], x: str, y: str) -> Iterator[Point]:
    """Each is named by what they differ in."""
    rows, keys = contents["front"], ["degrees", *contents["space"]["varied"]]
    differ = [key for key in keys if any(row[key] != rows[0][key] for row in rows)]
    for at, row in enumerate(rows):
        path = f"summary.json#front.{at}"
        across, up = (Number(WORDS[key], row[key], f"{path}.{key}") for key in (x, y))
        around = _around(row, x, path)
        yield Point(_label(row, keys), across, up, around=around, front=True, name=_label(row, differ))


def _label(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(str(row[key]) if key == "degrees" else f"{named(key)} {row[key]}" for key in keys)


def _around(row: Mapping[str, Any], x: str, path: str) -> tuple[Number, Number] | None:
    """The interval of the rate, or of the step that the rate is of."""
    if row["low"] is None:
        return None
    if x == "tpot_s":
        return Number("low", row["low"], f"{path}.low"), Number("high", row["high"], f"{path}.high")
    tokens = row[x] * row["tokens_per_s_per_gpu"]
    return Number("low", tokens / row["high"]), Number("high", tokens / row["low"])


def _measured(contents: Mapping[str, Any], x: str, y: str) -> Iterator[Point]:
    """Runs that have both figures, and are near enough to be seen beside the front."""
    far = {key: NEAR * max(row[key] for row in contents["front"]) for key in (x, y)}
    for at, run in enumerate(contents.get("measured", ())):
        if all(run.get(key, math.inf) <= far[key] for key in (x, y)):
            path = f"summary.json#measured.{at}"
            across, up = (Number(WORDS[key], run[key], f"{path}.{key}") for key in (x, y))
            yield Point(f"measured: {run['degrees']}", across, up, measured=True)
