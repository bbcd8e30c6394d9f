"""Claims that somebody makes about a plan, to be held against what is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from compiler.specs.fields import MISSING, between, choice


@dataclass(frozen=True)
class Claim:
    """`metric` is a path in the plan's dictionary, `claimed` what it should be.

    A claim is about one model, and where they are given one cluster (by name), one set of degrees (by canonical name) and
    one kind of workload; elsewhere it is not applicable.
    `tolerance` is relative. `reason` says why, for people, and may name values of the plan as {path}.
    """

    id: str = MISSING
    statement: str = MISSING
    metric: str = MISSING
    claimed: Any = MISSING
    comparison: str = choice(("==", "<=", ">=", "<", ">"), "==")
    tolerance: float = between(0, 1000, 0.0)
    reason: str = ""
    hardware: Optional[str] = None
    degrees: Optional[str] = None
    workload: Optional[str] = choice(("train", "serve"), None)


@dataclass(frozen=True)
class Expect:
    """A document's claims. `strict` turns a failed one into a broken invariant."""

    model: Optional[str] = None
    source: str = ""
    strict: bool = False
    claims: list[Claim] = field(default_factory=list)
