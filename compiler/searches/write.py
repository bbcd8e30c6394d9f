"""A search on disk: the winner's plan folder, and `searches/<name>/` beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from compiler.costs.arrays import Array
from compiler.fixes.change import written
from compiler.render.artifacts import Artifact, to_json
from compiler.render.atomic import Made, write_folder
from compiler.render.folder import manifest
from compiler.report.html import page
from compiler.report.markdown import markdown
from compiler.searches import report, typed
from compiler.searches.beside import PREFILL
from compiler.searches.find import COLUMNS, Found, framework
from compiler.searches.plans import Plans
from compiler.searches.space import INSTANCES, SPACE, STAGES
from compiler.searches.watched import DEGREES
from compiler.words import DIGITS

CHUNK = 16384
"""Rows of a text that is written at a time."""

FIRST = ("rank", "degrees", "gpus")

NAMED = (*DEGREES, INSTANCES, *PREFILL.values())
"""Keys that a plan's name follows from."""

NUMBER = f"%.{DIGITS}g"


def write(found: Found, out: str | Path) -> tuple[Path, Path]:
    """Write both and return their paths: of the plan, and of the search. Raises WriteError."""
    return found.best.write(out), write_search(found, out)


def write_search(found: Found, out: str | Path) -> Path:
    """Write the search alone."""
    target = Path(out) / "searches" / found.name
    write_folder(target, files(found))
    return target


def files(found: Found) -> Iterator[Artifact | Made]:
    """Every file, and the manifest over them."""
    contents = found.contents
    yield Artifact("summary.json", to_json(contents))
    yield Artifact("candidates.csv", candidates(found))
    name, sections = f"Search {found.name}", report.sections(contents)
    yield Artifact("report.md", markdown(name, sections))
    if found.best.config.report.html:
        yield Artifact("report.html", page(name, report.answers(contents), sections[1:]))
    yield manifest


def candidates(found: Found) -> Iterator[str]:
    """`candidates.csv`: a row a feasible plan, the best first."""
    head = [*FIRST, *(key for key, _ in found.space.varied()), *COLUMNS, "low", "high", "pareto", "stages"]
    head += framework(found, 0)
    yield ",".join(head) + "\n"
    columns = [*_columns(found)]
    for start in range(0, len(found.plans), CHUNK):
        cells = (column(slice(start, start + CHUNK)) for column in columns)
        yield "".join(map("{}\n".format, map(",".join, zip(*cells, strict=True))))


Column = Callable[[slice], Sequence[str]]
"""The cells of some rows."""


def _columns(found: Found) -> Iterator[Column]:
    plans, figures, space = found.plans, found.figures, found.space
    yield lambda rows: [str(row + 1) for row in range(len(plans))[rows]]
    yield _cells(plans, NAMED, lambda at: typed.name(space, plans, at))
    yield lambda rows: [str(count) for count in figures.gpus[rows].astype(int).tolist()]
    for key, _ in space.varied():
        yield _cells(plans, [key], partial(_value, plans, key))
    for name in COLUMNS:
        yield _numbers(getattr(figures, name))
    rates = figures.tokens_per_s_per_gpu
    for part in (found.low, found.high):
        yield _numbers(rates * part)
    yield lambda rows: [("false", "true")[mark] for mark in found.pareto[rows].tolist()]
    yield _cells(plans, ["pp", "vpp", STAGES], lambda at: " ".join(map(str, space.stages(plans, at) or ())))
    if framework(found, 0):
        yield _cells(plans, [SPACE], lambda at: framework(found, at)["framework"])


def _cells(plans: Plans, keys: Sequence[str], text: Callable[[int], str]) -> Column:
    """A text for each plan, made once of all those that agree on some keys."""
    cells = np.empty(len(plans), dtype=object)
    for kind in plans.kinds(np.arange(len(plans)), [key for key in keys if key in plans.chosen]):
        cells[kind] = text(int(kind[0]))
    return lambda rows: [*cells[rows]]


def _value(plans: Plans, key: str, at: int) -> str:
    """As an override has it, and csv."""
    text = written(plans.value(key, at))
    return '"' + text.replace('"', '""') + '"' if re.search(r'[,"\r\n]', text) else text


def _numbers(values: Array) -> Column:
    """Nine digits of each; nothing where there is no number."""

    def cells(rows: slice) -> Sequence[str]:
        own = values[rows]
        if np.isnan(own).all():
            return [""] * len(own)
        return [NUMBER % value if value == value else "" for value in own.tolist()]  # noqa: PLR0124 - nan is not itself

    return cells
