"""Checks as tests read them."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.checks import Check

ORDER = ("pass", "warn", "fail")


def by_id(found: Iterable[Check]) -> dict[str, Check]:
    """Checks by id; the worst of those with one id."""
    return {check.id: check for check in sorted(found, key=lambda check: ORDER.index(check.status))}
