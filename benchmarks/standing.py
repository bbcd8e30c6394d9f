"""Where published recipes stand in the order of their own jobs' plans, and what decides for those that stand far behind.

    python -m benchmarks.standing FOLDER [--every N] [--count N]

FOLDER holds `training.json.gz` and `serving.json.gz`: recipes as overrides. A job is its recipe with the degrees left open; all else (batches,
recomputation, schedule, arguments) stays the recipe's. A server is held against those whose clients get tokens as fast: one for low latency
is no bad plan for throughput. Recipes of two pools are left out, as are those that a rule or memory refuses.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.api import search
from compiler.config.load import load_config
from compiler.errors import CompilerError
from compiler.searches.find import Found
from compiler.searches.leaders import Leader, configured, projection
from compiler.searches.summary import differs

FIFTH = 0.2
DEGREES = ("tp", "cp", "pp", "vpp", "ep", "etp", "adp")
OPEN = ("parallel", "framework.instances", "scheduler", "launch.spare_nodes")
"""Keys that a search decides, or that no time hangs on."""


@dataclass(frozen=True)
class Standing:
    """A recipe's place among the feasible plans of its job, from 1 on, its rate over the best one's, and what decides."""

    source: str
    place: int
    plans: int
    rate: float
    best: str
    why: str

    @property
    def part(self) -> float:
        return self.place / self.plans

    def __str__(self) -> str:
        return f"{self.source}: place {self.place:,} of {self.plans:,} ({self.part:.1%}), {self.rate:.0%} of {self.best}; {self.why}"


def recipes(folder: Path, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Each job and its degrees once."""
    seen = set()
    with gzip.open(folder / f"{kind}.json.gz", "rt", encoding="utf-8") as text:
        for recipe in json.load(text):
            overrides = [item.replace("{here}", str(folder)) for item in recipe["overrides"]]
            key = tuple(item for item in overrides if not item.startswith("model.name="))
            if key not in seen and not any(item.startswith("workload.pools=") for item in overrides):
                seen.add(key)
                yield recipe["source"], overrides


def standing(source: str, overrides: Sequence[str]) -> Standing:
    """Raises CompilerError where the recipe or its job is refused, and LookupError where its degrees are not feasible."""
    degrees = load_config(overrides).degrees
    open_ = [item for item in overrides if item.partition("=")[0].lstrip("+") not in OPEN]
    found = search([*open_, "parallel=auto", "scheduler=[]", "~expect"])
    at = _place(found, [getattr(degrees, name) for name in DEGREES])
    as_fast = _as_fast(found, at)
    first, place = int(as_fast[0]), int(np.searchsorted(as_fast, at))
    plans = [configured(found.space, found.plans, one) for one in (first, at)]
    best, own = (Leader(one, projection(plan)) for one, plan in zip((first, at), plans, strict=True))
    rate = float(found.figures.tokens_per_s[at] / found.figures.tokens_per_s[first])
    return Standing(source, place + 1, len(as_fast), rate, plans[0].degrees.name, differs(best, own))


def _as_fast(found: Found, at: int) -> NDArray[np.intp]:
    """Places of the plans that it is held against, its own among them."""
    if found.space.config.workload.train:
        return np.arange(len(found.plans))
    return np.flatnonzero(found.figures.tpot_s <= found.figures.tpot_s[at])


def _place(found: Found, degrees: Sequence[int]) -> int:
    same = np.all([found.plans.chosen[name] == number for name, number in zip(DEGREES, degrees, strict=True)], axis=0)
    if not same.any():
        raise LookupError("its degrees are not feasible with all GPUs in use")
    return int(np.argmax(same))


def told(folder: Path, kind: str, every: int, count: int) -> Iterator[str]:
    """A line a recipe, and how many stand in the best fifth."""
    found: list[Standing] = []
    for source, overrides in list(recipes(folder, kind))[::every]:
        if len(found) >= count:
            break
        try:
            found.append(standing(source, overrides))
            yield str(found[-1])
        except (CompilerError, LookupError) as error:
            yield f"{source}: left out: {' '.join(str(error).split())[:140]}"
    good = sum(item.part <= FIFTH or item.place == 1 for item in found)
    yield f"{kind}: {good} of {len(found)} recipes in the best fifth of their jobs' plans"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one recipe in so many")
    parser.add_argument("--count", type=int, default=30, help="recipes of each kind at most")
    args = parser.parse_args(argv)
    for kind in ("training", "serving"):
        for line in told(args.folder, kind, args.every, args.count):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
