"""Runs that somebody measured, to be seen beside the plans of a search: a CSV with the column `degrees` (what the run is called) and
any of FIGURES, as `candidates.csv` names them; cells may be empty.
"""

from __future__ import annotations

import math
from typing import Any

from compiler.errors import ConfigError, short
from compiler.inputs import table
from compiler.words import several

FIGURES = ("step_time_s", "ttft_s", "tpot_s", "tokens_per_s_per_gpu", "memory_bytes")
"""In seconds, tokens/s of each GPU, and bytes of the fullest rank."""


def read(text: str) -> list[dict[str, Any]]:
    """A run each: its degrees, and the figures that it has. Raises ConfigError with the line that is wrong."""
    columns, rows = table.read("search.measured", text, ("degrees",))
    known = [name for name in FIGURES if name in columns]
    if len(known) < 2 or not rows:
        raise ConfigError.of(
            f"search.measured has {several(len(rows), 'run')} with {several(len(known), 'figure')}",
            f"list runs with two of {', '.join(FIGURES)}",
        )
    return [
        {"degrees": short(row["degrees"]), **{name: _number(line, name, row[name]) for name in known if row[name]}}
        for line, row in rows
    ]


def _number(line: int, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ConfigError.of(
            f"search.measured line {line}: {name}={short(cell)} is no number above 0", "mend that line"
        )
    return value
