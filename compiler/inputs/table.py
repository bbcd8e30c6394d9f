"""The text of a CSV -> its columns and rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from compiler.errors import ConfigError

Row = tuple[int, dict[str, str]]
"""The number of its last line, and its cells by column; what a short row lacks is empty."""

SEPARATORS = {"semicolon": ";", "tab": "\t"}
"""What other programs write between columns."""


def read(what: str, text: str, required: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Raises ConfigError for what is no CSV, with its line, and for a column that is missing or named twice."""
    if "\0" in text:
        raise ConfigError.of(f"{what} line {text[: text.index(chr(0))].count(chr(10)) + 1} holds a NUL", "write text")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        columns = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ConfigError.of(f"{what} line {reader.line_num} is no CSV: {error}", "mend that line") from error
    other = next((name for name, mark in SEPARATORS.items() if len(columns) == 1 and mark in columns[0]), None)
    if other is not None:
        raise ConfigError.of(f"{what} has {other}s between its columns", "write commas")
    if missing := [name for name in required if name not in columns]:
        raise ConfigError.of(
            f"{what} has no column {', '.join(missing)}", f"start it with the header {','.join(required)}"
        )
    if twice := [name for name in required if columns.count(name) > 1]:
        raise ConfigError.of(f"{what} has the column {', '.join(twice)} twice", "write each column once")
    blank = dict.fromkeys(columns, "")
    return columns, [(line, blank | dict(zip(columns, row, strict=False))) for line, row in rows]
