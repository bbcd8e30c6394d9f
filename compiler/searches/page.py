"""A search as a page: the answer, the front of what it found under its limits, and the sections of its report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compiler.report.blocks import Section
from compiler.report.figures import Point, Points
from compiler.report.html import page
from compiler.report.told import Number
from compiler.report.verdict import Answer
from compiler.searches import report, typed
from compiler.searches.find import Found
from compiler.words import DIGITS

DRAWN = 500
"""Plans that are drawn at most: those of the front, and then the best ones."""
AXES = {True: ("memory_bytes", "memory of the fullest rank", "bytes"), False: ("tpot_s", "TPOT", "seconds")}
"""What plans that train, and those that serve, have their front over: the search's own `pareto`."""


def html(found: Found, contents: Mapping[str, Any]) -> str:
    """`report.html` of a search."""
    first, *others = report.sections(contents)
    said = [Answer(name, text, "unsure" if name == "ties" else "good") for name, text in first.lines]
    return page(f"Search {found.name}", said, [first, Section("The front", tuple(_figures(found))), *others])


def _figures(found: Found) -> Iterator[Points]:
    """Rate over memory, or over the time of a token; nothing where plans have none."""
    config = found.space.config
    key, words, unit = AXES[config.workload.train]
    if math.isfinite(getattr(found.figures, key)[0]):
        whiskers = "; four of five measurements would lie within a whisker" * (unit == "seconds")
        yield Points(
            name="front",
            title=f"tokens/s/GPU over {words}",
            about="A point is a plan; further up and to the left is better. The line joins those that none beats in both"
            f"{whiskers}.{_of(found)}",
            x=words,
            y="tokens/s/GPU",
            x_unit=unit,
            points=tuple(_point(found, at, key) for at in _drawn(found)),
            limits=(("limit", "x", config.search.tpot_s),) if unit == "seconds" and config.search.tpot_s else (),
        )


def _of(found: Found) -> str:
    return f" {DRAWN} of {len(found.plans):,} plans are drawn." if len(found.plans) > DRAWN else ""


def _drawn(found: Found) -> list[int]:
    """Places of plans in the search's order."""
    front = np.flatnonzero(found.pareto)[:DRAWN].tolist()
    best = [at for at in range(min(len(found.plans), DRAWN)) if not found.pareto[at]]
    return sorted([*front, *best[: DRAWN - len(front)]])


def _point(found: Found, at: int, key: str) -> Point:
    x, y = (_number(found, at, name) for name in (key, "tokens_per_s_per_gpu"))
    front, low, high = bool(found.pareto[at]), None, None
    if front and found.low and found.high and key == "tpot_s":  # parts of a rate: a slower one takes longer
        low, high = (x.value or 0.0) / found.high, (x.value or 0.0) / found.low
    return Point(typed.degrees(found.space, found.plans, at).name, x, y, low, high, front=front)


def _number(found: Found, at: int, key: str) -> Number:
    """As `candidates.csv` has it."""
    value = float(f"{float(getattr(found.figures, key)[at]):.{DIGITS}g}")
    return Number(key, value, f"candidates.csv#{at}.{key}")
