"""Why the best plan is the best: the summary of a search, beside what is usual, and what else would give."""

from __future__ import annotations

from typing import Any

from compiler.config import measured
from compiler.searches import more, summary, usual
from compiler.searches.find import Found
from compiler.words import figures


def document(found: Found) -> dict[str, Any]:
    """The dictionary of `summary.json`."""
    text = found.space.config.search.measured
    contents, beside = summary.document(found), found.together
    contents["usual"] = [] if beside is None else list(usual.rows(beside))
    contents["more"] = list(more.rows(found)) if found.space.config.workload.pools is None else []
    contents["measured"] = measured.read(text) if text else []
    cut: dict[str, Any] = figures(contents)
    return cut
