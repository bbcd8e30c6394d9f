"""What a search says to people: the same typed sections as a plan's report is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.report.blocks import Block, Items, Row, Section, Table, shown
from compiler.report.figures import Point, Points
from compiler.report.told import Number
from compiler.report.verdict import Answer
from compiler.searches.summary import named
from compiler.words import gigabytes, number, readable, seconds

OBJECTIVES = {
    "throughput": "most tokens/s",
    "step_time": "shortest step",
    "latency": "shortest wait",
    "gpus": "fewest GPUs for the load",
}

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
    best, space = contents["best"], contents["space"]
    command = f"`{' '.join(best['overrides'])}`"
    of = f"{readable(space['feasible'])} of {readable(space['plans'])} plans of {space['gpus']} GPUs are feasible; by {OBJECTIVES[contents['objective']]}, the best is"
    tie = _tie(contents)
    lines = [
        ("best", " ".join(best["overrides"])),
        *_figures(best),
        ("of", f"{readable(space['feasible'])} feasible plans of {readable(space['plans'])}"),
    ]
    if tie:
        lines.append(("ties", tie))
    left = contents["gpus_left"]
    idle = f"It leaves {left} GPUs over." if left else ""
    return Section(
        "",
        shown([f"{of} {command}.", Items(tuple(f"{name}: {value}" for name, value in _figures(best))), tie, idle]),
        tuple(lines),
    )


def _tie(contents: Mapping[str, Any]) -> str:
    count = contents["tied"] - 1
    if count < 1:
        return ""
    return f"{count:,} other plan{'s' if count > 1 else ''} may be as good: four of five measurements of both would overlap."


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


def _table(rows: Sequence[Mapping[str, Any]], varied: Mapping[str, Any], last: str = "") -> Table:
    train = any(row["step_time_s"] is not None for row in rows)
    times = ("step_time_s",) if train else ("ttft_s", "tpot_s")
    head = (
        "",
        "degrees",
        "GPUs",
        *(named(key) for key in varied),
        *(key.removesuffix("_time_s").removesuffix("_s") for key in times),
    )
    cells = tuple(
        (
            str(row["rank"]),
            " ".join(
                [row["degrees"], *([row["framework"]] if "framework" in row else []), *["*"] * bool(row["stages"])]
            ),
            str(row["gpus"]),
            *(str(row[key]) for key in varied),
            *(seconds(row[key]) for key in times),
            number(row["tokens_per_s_per_gpu"]),
            gigabytes(row["memory_bytes"]),
            *([row.get("differs", "")] if last else []),
        )
        for row in rows
    )
    return Table((*head, "tokens/s/GPU", "memory", *([last] if last else [])), cells)


def _leaders(contents: Mapping[str, Any]) -> Section:
    rows, varied = contents["leaders"], contents["space"]["varied"]
    blocks: list[Block] = [_table(rows, varied, "first part that differs from the best")]
    if any(row["stages"] for row in rows):
        blocks.append(
            "A star: the layers of its stages are written, as in "
            + next(f"`{item}`" for row in rows for item in row["overrides"] if item.startswith("parallel.stages="))
            + "."
        )
    return Section("The first of all", tuple(blocks))


def _front(contents: Mapping[str, Any]) -> Section:
    """The plans that none beats in both figures: what speed for one client costs all of them, or memory a step."""
    rows, train = contents["front"], contents["best"]["step_time_s"] is not None
    if len(rows) < 2:
        return Section()
    x, y, units = (
        ("step_time_s", "memory_bytes", ("seconds", "bytes"))
        if train
        else ("tpot_s", "tokens_per_s_per_gpu", ("seconds", "number"))
    )
    words = {
        "step_time_s": "step",
        "memory_bytes": "memory of the fullest rank",
        "tpot_s": "TPOT",
        "tokens_per_s_per_gpu": "tokens/s/GPU",
    }
    points = tuple(
        Point(
            row["degrees"],
            Number(words[x], row[x], f"summary.json#front.{at}.{x}"),
            Number(words[y], row[y], f"summary.json#front.{at}.{y}"),
            front=True,
        )
        for at, row in enumerate(rows)
    )
    about = f"A point is a plan that no other one beats in both, {words[x]} and {words[y]}."
    limits = tuple((f"search.{x}", "x", value) for name, value in contents["limits"].items() if name == x)
    figure = Points(
        name="front",
        title=f"{words[y]} over {words[x]}",
        about=about,
        x=words[x],
        y=words[y],
        points=points,
        x_unit=units[0],
        y_unit=units[1],
        limits=limits,
    )
    return Section(
        "The front", (figure, _table(sorted(rows, key=lambda row: row[x])[:MOST], contents["space"]["varied"]))
    )


def answers(contents: Mapping[str, Any]) -> list[Answer]:
    """What stands first on a page."""
    best, tie = contents["best"], _tie(contents)
    found = [Answer("best", " ".join(best["overrides"])), *(Answer(name, value) for name, value in _figures(best))]
    return [*found, Answer("ties", tie, "unsure")] if tie else found


def _usual(contents: Mapping[str, Any]) -> Section:
    rows = contents.get("usual", [])
    cells = tuple((row["what"], row["degrees"], row["says"]) for row in rows)
    return (
        Section("Beside what is usual", shown([Table(("", "degrees", "beside the best"), cells)]))
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
