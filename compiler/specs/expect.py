"""Claims that somebody makes about a plan, to be held against what is computed."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from compiler.frozen import dataclass
from compiler.specs.fields import MISSING, between, choice


@dataclass(frozen=True)
class Claim:
    """What somebody claims of a plan."""

    id: str = MISSING
    """A name for the claim."""
    statement: str = MISSING
    """What is claimed, in words."""
    metric: str = MISSING
    """A path in plan.json, such as memory.weights_bytes."""
    claimed: Any = MISSING
    """The value it should have."""
    comparison: str = choice(("==", "<=", ">=", "<", ">"), "==")
    """How the computed value is held against it."""
    tolerance: float = between(0, 1000, 0.0)
    """Relative slack."""
    reason: str = ""
    """Why, for people; may name values of the plan as {path}."""
    hardware: Optional[str] = None
    """The cluster that it is about; any where it is null."""
    degrees: Optional[str] = None
    """The degrees that it is about, by canonical name; any where it is null."""
    workload: Optional[str] = choice(("train", "serve"), None)
    """The kind of workload that it is about; any where it is null."""


@dataclass(frozen=True)
class Expect:
    """A document's claims."""

    model: Optional[str] = None
    """The model that the claims are about."""
    source: str = ""
    """The document that they are from."""
    strict: bool = False
    """A failed claim is an error."""
    claims: list[Claim] = field(default_factory=list)
    """The claims."""
