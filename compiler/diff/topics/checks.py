"""Warnings that come and go."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diff.side import Side
from compiler.diff.topic import MISSING, Topic, differing
from compiler.diff.verdict import Change, change


def changes(old: Side, new: Side) -> Iterator[Change]:
    """A change for each warning that one side alone has, by its id."""
    for warning, before, after in differing(_warnings(old), _warnings(new)):
        said = [value if isinstance(value, str) else MISSING for value in (before, after)]
        if MISSING in said:
            yield change("checks", f"warning {warning}", said)


def _warnings(side: Side) -> dict[str, str]:
    found = [(str(role), part.plan.contents.get("checks")) for role, part in side.parts.items()]
    found.append(("", side.contents.get("checks")))
    return {
        f"{role} {check['id']}".strip(): str(check.get("message"))
        for role, checks in found
        for check in (checks if isinstance(checks, list) else ())
        if isinstance(check, dict) and check.get("status") == "warn" and isinstance(check.get("id"), str)
    }


TOPIC = Topic("checks", 8, "warnings", changes)
