"""Lists of 0 and 1, one a layer, as Megatron reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def pattern(marks: Sequence[int]) -> str:
    """Runs shortened: `([0]*3+[1]*58)`."""
    runs = [(mark, len(list(same))) for mark, same in groupby(marks)]
    period = _period(marks)
    if 1 < period <= len(marks) // 2 and len(runs) > 3:
        return f"({[*marks[:period]]})*{len(marks) // period}".replace(" ", "")
    return "(" + "+".join(f"[{mark}]*{count}" for mark, count in runs) + ")"


def _period(marks: Sequence[int]) -> int:
    """The shortest block that the list repeats, in whole blocks."""
    size = len(marks)
    return next(n for n in range(1, size + 1) if size % n == 0 and list(marks[:n]) * (size // n) == list(marks))
