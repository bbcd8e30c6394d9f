"""A search on disk: the winner's plan folder, and `searches/<name>/` beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from compiler.config.grammar import NAME, NAMING
from compiler.errors import ConfigError
from compiler.render.artifacts import Artifact, to_json
from compiler.render.atomic import Made, write_folder
from compiler.render.folder import manifest
from compiler.report.html import page
from compiler.report.markdown import markdown
from compiler.searches import report, typed
from compiler.searches.find import COLUMNS, Found, framework
from compiler.words import DIGITS

CHUNK = 2048
"""Rows of a text that is written at a time."""


def write(found: Found, out: str | Path) -> tuple[Path, Path]:
    """Write both and return their paths: of the plan, and of the search. Raises WriteError and ConfigError."""
    folder(found, out)  # a bad name leaves nothing behind
    return found.best.write(out), write_search(found, out)


def write_search(found: Found, out: str | Path) -> Path:
    """Write the search alone."""
    target = folder(found, out)
    write_folder(target, files(found))
    return target


def folder(found: Found, out: str | Path) -> Path:
    """Where the search goes. Raises ConfigError for a name that is none."""
    if not NAME.fullmatch(found.name):
        raise ConfigError.of(f"search.name={found.name} cannot name a folder", NAMING)
    return Path(out) / "searches" / found.name


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


def candidates(found: Found) -> Iterable[str]:
    """`candidates.csv`: a row a feasible plan, the best first."""
    varied = [key for key, _ in found.space.varied()]
    several = framework(found, 0)
    head = ["rank", "degrees", "gpus", *varied, *COLUMNS, "low", "high", "pareto", "stages", *several]
    columns = [_column(getattr(found.figures, name)) for name in COLUMNS]
    rates = found.figures.tokens_per_s_per_gpu
    ends = [_column(rates * part) for part in (found.low, found.high)]
    gpus, pareto = found.figures.gpus.astype(int).tolist(), found.pareto.tolist()
    yield ",".join(head) + "\n"
    for start in range(0, len(found.plans), CHUNK):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for at in range(start, min(start + CHUNK, len(found.plans))):
            stages = found.space.stages(found.plans, at)
            writer.writerow(
                [
                    at + 1,
                    typed.name(found.space, found.plans, at),
                    gpus[at],
                    *(typed.written(found.plans.value(key, at)) for key in varied),
                    *(column[at] for column in columns),
                    *(end[at] for end in ends),
                    str(pareto[at]).lower(),
                    "" if stages is None else " ".join(map(str, stages)),
                    *(framework(found, at)[name] for name in several),
                ]
            )
        yield text.getvalue()


def _column(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[str]:
    """Nine digits of each; nothing where there is no number."""
    return [f"{value:.{DIGITS}g}" if value == value else "" for value in values.tolist()]  # noqa: PLR0124 - nan is not itself
