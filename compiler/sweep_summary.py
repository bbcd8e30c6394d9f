"""A sweep's end: its summary as a table, as a page, and on the console, the best plan first."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compiler import ranking
from compiler.console import print_json
from compiler.errors import shown
from compiler.render.atomic import write_file
from compiler.report import swept
from compiler.report.verdict import Answer
from compiler.words import several

COLUMNS = (
    "job,overrides,status,world_size,degrees,memory_bytes,memory_fraction,"
    "step_time_s,ttft_s,tpot_s,tokens_per_s_per_gpu,message,requests_per_s,requests_per_s_per_gpu"
).split(",")
SUMMARY, MARK = "summary.csv", b"job,overrides,status,"
"""The table of a sweep, and how it begins."""
PAGE = "report.html"


def finish(rows: Sequence[dict[str, Any]], *, as_json: bool) -> int:
    """Write the summary beside the plans, and say which is best and how many there are; 1 where a job failed."""
    folder = next((Path(row["folder"]) for row in rows if "folder" in row), None)
    failed = sum(row["status"] != "ok" for row in rows)
    if folder is not None:
        table = [{**row, **_figures(folder, row)} for row in rows]
        best = list(ranking.best(table))
        write_file(folder / SUMMARY, _csv(table))
        answers = swept.answers(table, best)
        page = _page(folder, table, answers)
        if as_json:
            told = [{key: row.get(key) for key in COLUMNS} for row in table]
            print_json({"folder": str(folder), "best": best, "jobs": told})
        else:
            print(*(f"{answer.question}: {answer.text}" for answer in answers[:-1]), sep="\n")
            print(_ended(folder, len(rows), failed, page=page))
    return 1 if failed else 0


def _ended(folder: Path, count: int, failed: int, *, page: bool) -> str:
    figures = shown(f"{folder}, figures in {folder / SUMMARY}")
    return f"{count - failed} of {several(count, 'plan')} in {figures}{f', to be seen in {PAGE}' * page}"


def _csv(table: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _page(folder: Path, table: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> bool:
    """Whether the page is written: no job has to want none (`report.html=false`), and a file of that name that is not ours stays."""
    if not any(row.get("page", False) for row in table) and any("page" in row for row in table):
        return False
    from compiler.report.html import is_page, page

    path = folder / PAGE
    if path.exists() and not is_page(path):
        return False
    write_file(path, page(f"Sweep {folder.name}", answers, swept.sections(table)))
    return True


def _figures(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A finished job's figures, read from its plan folder."""
    if row["status"] != "ok":
        return {}
    return ranking.figures(json.loads((folder / row["job"] / "plan.json").read_text()))
