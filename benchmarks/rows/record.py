"""One measured number, and the plan that its row describes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.world import World

Row = Mapping[str, str]


class Skip(Exception):  # noqa: N818 (a row that lacks an input is no error)
    """Why a row cannot be predicted, in a few words that many rows share."""


@dataclass(frozen=True)
class Record:
    """A measured number: seconds, tokens/s of a GPU, or bytes, as `metric` says. `world` is None where it is skipped.

    `software` is (framework, release), `ask` whatever the family's prediction needs beside the plan.
    """

    family: str
    id: str
    source: str
    model: str
    metric: str
    measured: float
    world: World | None = None
    gpu: str = ""
    software: tuple[str, str] = ("", "")
    ask: Mapping[str, Any] | None = None
    skipped: str = ""


def read(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def whole(row: Row, key: str, default: int | None = None) -> int:
    """A count. Raises Skip where it is blank without a default, or no number."""
    text = row.get(key, "")
    if not text:
        if default is None:
            raise Skip(f"no {key}")
        return default
    try:
        return round(float(text))
    except ValueError:
        raise Skip(f"{key} is no number") from None


def number(row: Row, key: str) -> float | None:
    """A measured number; None where it is blank or no number."""
    try:
        return float(row.get(key, ""))
    except ValueError:
        return None
