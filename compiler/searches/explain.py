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
    cut: dict[str, Any] = figures(
        {
            **summary.document(found),
            "usual": list(usual.rows(found)),
            "more": list(more.rows(found)),
            "measured": measured.read(text) if text else [],
        }
    )
    return cut
