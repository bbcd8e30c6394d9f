"""What a search says to people: the same typed sections as a plan's report is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.fixes.change import written
from compiler.report.blocks import Items, Row, Section, Table, shown
from compiler.report.told import told
from compiler.report.verdict import Answer
from compiler.searches import front
from compiler.searches.space import STAGES
from compiler.searches.summary import beside, named
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

LONG_S = 10.0
"""A first token that nobody waits for who has not asked for throughput alone."""


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
    """What stands first: the best plan, its figures, of how many it is the best and by what, which may be as good,
    and which spaces have no plan.
    """
    best, space, left = contents["best"], contents["space"], contents["gpus_left"]
    count = f"{readable(space['feasible'])} feasible plans of {readable(space['plans'])}"
    found = [
        Answer("best", " ".join(best["overrides"])),
        *(Answer(name, value) for name, value in _figures(contents)),
        Answer("of", f"{count}, by {OBJECTIVES[contents['objective']]}"),
    ]
    if (best["ttft_s"] or 0.0) > LONG_S and not contents["limits"]:
        waits = f"clients wait {seconds(best['ttft_s'])} for a first token: search.ttft_s=2 leaves such plans out"
        found.append(Answer("no limits", waits, "unsure"))
    if left:
        found.append(Answer("left over", several(left, "GPU"), "unsure"))
    if contents["tied"] > 1:
        other = several(contents["tied"] - 1, "other plan")
        said = f"{other} may be as good: four of five measurements of both would overlap"
        found.append(Answer("ties", said, "unsure"))
    found += [Answer("left out", f"{one['space']}: {one['says']}", "unsure") for one in contents["left_out"]]
    return found


def _figures(contents: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of the best plan."""
    row = contents["best"]
    around = "" if row["low"] is None else f" ({number(row['low'])} to {number(row['high'])})"
    yield "tokens/s/GPU", f"{number(row['tokens_per_s_per_gpu'])}{around}"
    for key, name in TIMES.items():
        if row[key] is not None:
            yield name, seconds(row[key])
    if row["requests_per_s"] is not None:
        yield "requests/s", number(row["requests_per_s"])
    yield "memory", f"{gigabytes(row['memory_bytes'])} of {gigabytes(contents['space']['memory_bytes'])}"
    yield "GPUs", str(row["gpus"])


def _table(contents: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], last: str = "") -> Table:
    """Rows by their paths in `summary.json`."""
    keys, starred = beside(contents), STAGES not in contents["space"]["fixed"]
    train = contents["best"]["step_time_s"] is not None
    times = ("step_time_s",) if train else ("ttft_s", "tpot_s")
    head = ("place", "degrees", "GPUs", *map(named, keys), *(TIMES[key] for key in times), "tokens/s/GPU", "memory")
    cells = tuple(
        (
            str(row["rank"]),
            row["degrees"] + (" *" if starred and row["stages"] else ""),
            str(row["gpus"]),
            *(written(row[key]) for key in keys),
            *(told(row, key, seconds, path) for key in times),
            told(row, "tokens_per_s_per_gpu", number, path),
            told(row, "memory_bytes", gigabytes, path),
            *([row["differs"]] if last else []),
        )
        for path, row in rows.items()
    )
    return Table((*head, *([last] if last else [])), cells)


def _leaders(contents: Mapping[str, Any]) -> Section:
    rows = contents["leaders"]
    paths = {f"summary.json#leaders.{at}": row for at, row in enumerate(rows)}
    table = _table(contents, paths, "first part that differs from the best")
    dealt = next((item for row in rows for item in row["overrides"] if item.startswith(f"{STAGES}=")), "")
    star = f"*: the layers of its stages are written, as in `{dealt}`." if dealt else ""
    return Section("The best degrees", shown([table, star]))


def _front(contents: Mapping[str, Any]) -> Section:
    """The plans that none beats in both figures."""
    rows, (x, *_) = contents["front"], front.axes(contents)
    if len(rows) < 2:
        return Section()
    order = sorted(range(len(rows)), key=lambda at: rows[at][x])[:MOST]
    return Section(
        "The front", (front.figure(contents), _table(contents, {f"summary.json#front.{at}": rows[at] for at in order}))
    )


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
