"""One measured number, and the plan that its row describes."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.errors import CompilerError
from compiler.frameworks.lay_out import lay_out
from compiler.specs.config import Config
from compiler.specs.ranges import problems
from compiler.world import World

Row = Mapping[str, str]


LARGEST = 2**20
"""GPUs, layers or experts beyond which a cell is taken for a mistake."""


class Skip(Exception):  # noqa: N818 (a row that lacks an input is no error)
    """Why a row cannot be predicted, in a few words that many rows share."""


UNFIT = (ArithmeticError, CompilerError, LookupError, TypeError, ValueError)
"""What a row raises whose cells make no plan together: one bad row says so and stops no other."""


class Cells(dict[str, str]):
    """A row of a file; a column that it does not have is blank."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True)
class Record:
    """A measured number: seconds, tokens/s of a GPU, or bytes, as `metric` says. `world` is None where it is skipped.

    `software` is (framework, release), `ask` whatever the family's prediction needs beside the plan; `specified` says
    that the row gives all that a prediction needs, `unsaid` names an input that it lacks and that its plan takes as is
    usual: fits learn from such a row, errors do not count it.
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
    unsaid: str = ""
    specified: bool = True
    date: str = ""

    @property
    def architecture(self) -> str:
        """What it is a measurement of, whatever its source calls it: DeepSeek-R1, V3 and V3.1 are one."""
        if self.world is None:
            return self.model
        model = self.world.config.model
        return f"{model.num_hidden_layers} layers of {model.hidden_size}, {model.num_experts} experts"


def read(path: Path) -> Iterator[Row]:
    """Rows of a CSV. Cells beyond the header are left out, those that are missing are blank."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        for row in csv.DictReader(line.replace("\0", "") for line in file):
            yield Cells({key: (cell or "").strip() for key, cell in row.items() if isinstance(key, str)})


def reason(error: Exception) -> str:
    """Why a row is skipped, from what it raised."""
    return str(error) if isinstance(error, Skip) else f"its cells make no plan together ({type(error).__name__})"


def planned(config: Config) -> World:
    """Lay a row's plan out. Raises Skip for values out of range, and for degrees that do not fit."""
    model, parallel = config.model, config.parallel
    for part, spec in (("model", model), ("workload", config.workload), ("parallel", parallel)):
        for problem in problems(spec, part):
            raise Skip(re.sub(r"=\S*", "", problem.what))
    if max(config.degrees.world_size, model.num_hidden_layers, model.num_experts) > LARGEST:
        raise Skip("more GPUs, layers or experts than there are")
    if min(parallel.stages or [1]) < 1 or parallel.pp * parallel.vpp > model.num_hidden_layers:
        raise Skip("more stages than layers")
    if not config.degrees.factors:
        raise Skip("expert degrees do not fit the ranks")
    return lay_out(config)


def whole(row: Row, key: str, default: int | None = None, most: int = 2**24) -> int:
    """A count. Raises Skip where it is blank without a default, or no number of things up to `most`."""
    text = row.get(key, "")
    if not text:
        if default is None:
            raise Skip(f"no {key}")
        return default
    try:
        found = float(text)
    except ValueError:
        raise Skip(f"{key} is no number") from None
    if not 0 <= found <= most:
        raise Skip(f"{key} is out of range")
    return round(found)


def number(row: Row, key: str) -> float | None:
    """A measured number; None where it is blank or no number."""
    try:
        found = float(row.get(key, ""))
    except ValueError:
        return None
    return found if math.isfinite(found) else None
