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
from compiler.searches.find import COLUMNS, Found
from compiler.searches.plans import Index, Plans
from compiler.searches.space import STAGES
from compiler.searches.watched import DEGREES
from compiler.words import DIGITS

CHUNK = 16384
"""Rows of a text that is written at a time."""

FIRST = ("rank", "degrees", "gpus")

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
        yield Artifact("report.html", page(name, report.answers(contents), sections))
    yield manifest


def candidates(found: Found) -> Iterator[str]:
    """`candidates.csv`: a row a feasible plan, the best first."""
    head = [*FIRST, *(key for key, _ in found.space.varied()), *COLUMNS, "low", "high", "pareto", "stages"]
    yield ",".join(head) + "\n"
    for start in range(0, len(found.plans), CHUNK):
        columns = _columns(found, np.arange(start, min(start + CHUNK, len(found.plans))))
        yield "".join(map("{}\n".format, map(",".join, zip(*columns, strict=True))))


def _columns(found: Found, rows: Index) -> Iterator[Sequence[str]]:
    """The cells of some rows, column by column. What is the same in many plans is written once for all of them."""
    plans, figures = found.plans.take(rows), found.figures.take(rows)
    yield [str(row + 1) for row in rows.tolist()]
    yield _cells(plans, DEGREES, lambda at: typed.degrees(found.space, plans, at).name)
    yield [str(count) for count in figures.gpus.astype(int).tolist()]
    for key, _ in found.space.varied():
        yield _cells(plans, [key], partial(_value, plans, key))
    for name in COLUMNS:
        yield _numbers(getattr(figures, name))
    rates = figures.tokens_per_s_per_gpu
    for part in (found.low, found.high):
        yield _numbers(np.full(len(rates), np.nan) if part is None else rates * part)
    yield [("false", "true")[mark] for mark in found.pareto[rows].tolist()]
    yield _cells(plans, ["pp", "vpp", STAGES], lambda at: " ".join(map(str, found.space.stages(plans, at) or ())))


def _cells(plans: Plans, keys: Sequence[str], text: Callable[[int], str]) -> list[str]:
    """A text for each plan, made once of those that agree on some keys."""
    cells = np.empty(len(plans), dtype=object)
    for kind in plans.kinds(np.arange(len(plans)), keys):
        cells[kind] = text(int(kind[0]))
    found: list[str] = cells.tolist()
    return found


def _value(plans: Plans, key: str, at: int) -> str:
    """What a plan chooses for a key, as csv has it."""
    text = written(plans.value(key, at))
    return '"' + text.replace('"', '""') + '"' if re.search(r'[,"\r\n]', text) else text


def _numbers(values: Array) -> list[str]:
    """Nine digits of each; nothing where there is no number."""
    if np.isnan(values).all():
        return [""] * len(values)
    return [NUMBER % value if value == value else "" for value in values.tolist()]  # noqa: PLR0124 - nan is not itself
