"""Why the best plan is the best: beside what is usual, and what else would give."""

from __future__ import annotations

from typing import Any

from compiler.searches import summary
from compiler.searches.find import Found


def document(found: Found) -> dict[str, Any]:
    """The summary with what it was held against."""
    return summary.document(found)
