"""What a search says to people: the same typed sections as a plan's report is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.report.blocks import Block, Items, Row, Section, Table, shown
from compiler.report.breakdown import AROUND
from compiler.report.figures import Point, Points
from compiler.report.told import Number, told
from compiler.report.verdict import Answer
from compiler.searches.summary import named
from compiler.words import gigabytes, number, readable, seconds

OBJECTIVES = {
    "throughput": "most tokens/s",
    "step_time": "shortest step",
    "latency": "shortest wait",
    "gpus": "fewest GPUs for the load",
}

WORDS = {
    "step_time_s": "step",
    "memory_bytes": "memory of the fullest rank",
    "tpot_s": "TPOT",
    "tokens_per_s_per_gpu": "tokens/s/GPU",
}
STEP_FRONT = ("step_time_s", "memory_bytes", ("seconds", "bytes"))
TPOT_FRONT = ("tpot_s", "tokens_per_s_per_gpu", ("seconds", "number"))
"""Columns of both axes, and their units."""

NEAR = 2.0
"""Times the greatest figure of the front, up to which measured runs are drawn."""

MOST = 12
"""Values of a key that are shown."""


def sections(contents: Mapping[str, Any]) -> list[Section]:
    """All of them, the answer first."""
    return [
        _best(contents),
        _leaders(contents),
        _front(contents),
        _usual(contents),
        _values(contents),
        _refused(contents),
        _more(contents),
    ]


def _best(contents: Mapping[str, Any]) -> Section:
    lines = tuple((answer.question, answer.text) for answer in answers(contents))
    return Section("", (Items(tuple(f"{name}: {value}" for name, value in lines)),), lines)


def answers(contents: Mapping[str, Any]) -> list[Answer]:
    """What stands first: the best plan, its figures, of how many it is the best and by what, and which may be as good."""
    best, space, left = contents["best"], contents["space"], contents["gpus_left"]
    count = f"{readable(space['feasible'])} feasible plans of {readable(space['plans'])}"
    found = [
        Answer("best", " ".join(best["overrides"])),
        *(Answer(name, value) for name, value in _figures(best)),
        Answer("of", f"{count}, by {OBJECTIVES[contents['objective']]}"),
    ]
    if left:
        found.append(Answer("left over", f"{left} GPU{'s' * (left > 1)}", "unsure"))
    ties = contents["tied"] - 1
    if ties:
        said = f"{ties:,} other plan{'s' * (ties > 1)} may be as good: four of five measurements of both would overlap"
        found.append(Answer("ties", said, "unsure"))
    return found


def _figures(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    around = "" if row["low"] is None else f" ({number(row['low'])} to {number(row['high'])})"
    yield "tokens/s/GPU", f"{number(row['tokens_per_s_per_gpu'])}{around}"
    for key, name in (("step_time_s", "step"), ("ttft_s", "TTFT"), ("tpot_s", "TPOT")):
        if row[key] is not None:
            yield name, seconds(row[key])
    if row["requests_per_s"] is not None:
        yield "requests/s", number(row["requests_per_s"])
    yield "memory", gigabytes(row["memory_bytes"])
    yield "GPUs", str(row["gpus"])


def _table(rows: Mapping[str, Mapping[str, Any]], varied: Mapping[str, Any], last: str = "") -> Table:
    """Rows by their paths in `summary.json`."""
    train = any(row["step_time_s"] is not None for row in rows.values())
    times = {"step_time_s": "step"} if train else {"ttft_s": "TTFT", "tpot_s": "TPOT"}
    head = (
        "place",
        "degrees",
        "GPUs",
        *(named(key) for key in varied),
        *times.values(),
    )
    cells = tuple(
        (
            str(row["rank"]),
            row["degrees"] + (" *" if row["stages"] else ""),
            str(row["gpus"]),
            *(str(row[key]) for key in varied),
            *(told(row, key, seconds, path) for key in times),
            told(row, "tokens_per_s_per_gpu", number, path),
            told(row, "memory_bytes", gigabytes, path),
            *([row.get("differs", "")] if last else []),
        )
        for path, row in rows.items()
    )
    return Table((*head, "tokens/s/GPU", "memory", *([last] if last else [])), cells)


def _leaders(contents: Mapping[str, Any]) -> Section:
    rows, varied = contents["leaders"], contents["space"]["varied"]
    paths = {f"summary.json#leaders.{at}": row for at, row in enumerate(rows)}
    blocks: list[Block] = [_table(paths, varied, "first part that differs from the best")]
    if any(row["stages"] for row in rows):
        blocks.append(
            "A star: the layers of its stages are written, as in "
            + next(f"`{item}`" for row in rows for item in row["overrides"] if item.startswith("parallel.stages="))
            + "."
        )
    return Section("The best plans", tuple(blocks))


def _front(contents: Mapping[str, Any]) -> Section:
    """The plans that none beats in both figures: what speed for one client costs all of them, or memory a step."""
    rows, train = contents["front"], contents["best"]["step_time_s"] is not None
    if len(rows) < 2:
        return Section()
    x, y, units = STEP_FRONT if train else TPOT_FRONT
    runs = tuple(_measured(contents, x, y))
    limits = tuple((f"search.{x}", "x", value) for name, value in contents["limits"].items() if name == x)
    figure = Points(
        name="front",
        title=f"{WORDS[y]} over {WORDS[x]}",
        about=f"A point is a plan that no other one beats in both. {AROUND}{' A diamond is a run that was measured.' * bool(runs)}",
        x=WORDS[x],
        y=WORDS[y],
        points=(*_points(contents, x, y), *runs),
        along="x" if train else "y",
        x_unit=units[0],
        y_unit=units[1],
        limits=limits,
    )
    order = sorted(range(len(rows)), key=lambda at: rows[at][x])[:MOST]
    table = _table({f"summary.json#front.{at}": rows[at] for at in order}, contents["space"]["varied"])
    return Section("The front", (figure, table))


def _points(contents: Mapping[str, Any], x: str, y: str) -> Iterator[Point]:
    """Plans of the front; a name says what they differ in."""
    rows, keys = contents["front"], ["degrees", *contents["space"]["varied"]]
    differ = [key for key in keys if any(row[key] != rows[0][key] for row in rows)]
    for at, row in enumerate(rows):
        path = f"summary.json#front.{at}"
        yield Point(
            _label(row, keys),
            Number(WORDS[x], row[x], f"{path}.{x}"),
            Number(WORDS[y], row[y], f"{path}.{y}"),
            around=_around(row, x, path),
            front=True,
            name=_label(row, differ),
        )


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
            x_at, y_at = (Number(WORDS[key], run[key], f"{path}.{key}") for key in (x, y))
            yield Point(f"measured: {run['degrees']}", x_at, y_at, measured=True)


def _usual(contents: Mapping[str, Any]) -> Section:
    rows = contents.get("usual", [])
    cells = tuple((row["what"], row["degrees"], row["says"]) for row in rows)
    return (
        Section("Beside what is usual", shown([Table(("what", "degrees", "beside the best"), cells)]))
        if cells
        else Section()
    )


def _values(contents: Mapping[str, Any]) -> Section:
    """The best of each value: what a choice costs."""
    rows: list[Row] = []
    for key, values in contents["by_value"].items():
        best = sorted(values, key=lambda row: -row["of_best"])[:MOST]
        rows += [
            (named(key), str(row["value"]), f"{row['of_best']:.1%}", row["degrees"], f"{row['plans']:,}")
            for row in sorted(best, key=values.index)
        ]
    head = ("choice", "value", "rate of its best plan, of the best of all", "that plan", "plans")
    return Section("What each choice costs", shown([Table(head, tuple(rows))]))


def _refused(contents: Mapping[str, Any]) -> Section:
    rows = tuple((f"`{name}`", f"{count:,}") for name, count in contents["refused"].items())
    near = contents["nearest"]
    said = ""
    if near is not None and near["memory_bytes"] is not None:
        said = f"The nearest that does not fit is {near['degrees']}: it lacks {gigabytes(near['lacks_bytes'])} of {gigabytes(near['capacity_bytes'])} a GPU."
    return Section(
        "What was refused", shown(["Plans by the first rule that refused them.", Table(("rule", "plans"), rows), said])
    )


def _more(contents: Mapping[str, Any]) -> Section:
    rows = tuple((row["what"], row["degrees"], row["says"]) for row in contents.get("more", []))
    return (
        Section("What else would give", shown([Table(("with", "best degrees", "it gives"), rows)]))
        if rows
        else Section()
    )
