"""What a search says to people: the same typed sections as a plan's report is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler.report.blocks import Block, Items, Row, Section, Table, shown
from compiler.report.told import told
from compiler.report.verdict import Answer
from compiler.searches import front
from compiler.searches.summary import named
from compiler.words import gigabytes, number, readable, seconds, several

OBJECTIVES = {
    "throughput": "most tokens/s",
    "step_time": "shortest step",
    "latency": "shortest wait",
    "gpus": "fewest GPUs for the load",
}

TIMES = {"step_time_s": "step", "ttft_s": "TTFT", "tpot_s": "TPOT"}

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
    idle = f"It leaves {several(left, 'GPU')} over." if left else ""
    return Section(
        "",
        shown([f"{of} {command}.", Items(tuple(f"{name}: {value}" for name, value in _figures(best))), tie, idle]),
        tuple(lines),
    )


def _tie(contents: Mapping[str, Any]) -> str:
    count = contents["tied"] - 1
    if count < 1:
        return ""
    return f"{several(count, 'other plan')} may be as good: four of five measurements of both would overlap."


def _figures(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    around = "" if row["low"] is None else f" ({number(row['low'])} to {number(row['high'])})"
    yield "tokens/s/GPU", f"{number(row['tokens_per_s_per_gpu'])}{around}"
    for key, name in TIMES.items():
        if row[key] is not None:
            yield name, seconds(row[key])
    if row["requests_per_s"] is not None:
        yield "requests/s", number(row["requests_per_s"])
    yield "memory", gigabytes(row["memory_bytes"])
    yield "GPUs", str(row["gpus"])


def _table(
    rows: Sequence[Mapping[str, Any]], varied: Mapping[str, Any], last: str = "", paths: Sequence[str] = ()
) -> Table:
    """`paths` are those of the rows in `summary.json`; of the leaders where there are none."""
    paths = [f"summary.json#{path}" for path in paths or [f"leaders.{at}" for at in range(len(rows))]]
    train = any(row["step_time_s"] is not None for row in rows)
    times = ("step_time_s",) if train else ("ttft_s", "tpot_s")
    head = (
        "place",
        "degrees",
        "GPUs",
        *(named(key) for key in varied),
        *(TIMES[key] for key in times),
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
        for path, row in zip(paths, rows, strict=True)
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
    """The plans that none beats in both figures."""
    rows, (x, *_) = contents["front"], front.axes(contents)
    if len(rows) < 2:
        return Section()
    order = sorted(range(len(rows)), key=lambda at: rows[at][x])[:MOST]
    table = _table([rows[at] for at in order], contents["space"]["varied"], paths=[f"front.{at}" for at in order])
    return Section("The front", (front.figure(contents), table))


def answers(contents: Mapping[str, Any]) -> list[Answer]:
    """What stands first on a page, in the place of the first section."""
    best, tie = contents["best"], _tie(contents)
    found = [Answer("best", " ".join(best["overrides"])), *(Answer(name, value) for name, value in _figures(best))]
    space, left = contents["space"], contents["gpus_left"]
    feasible = f"{readable(space['feasible'])} feasible plans of {readable(space['plans'])}"
    found.append(Answer("of", f"{feasible}, by {OBJECTIVES[contents['objective']]}"))
    found += [Answer("left over", several(left, "GPU"), "unsure")] * bool(left)
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
