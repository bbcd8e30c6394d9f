"""What a model's own file says and a framework cannot be told: a warning each, for a model that trains as another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from compiler.checks import Check, passed, warned


def unsaid(framework: str, cited: str, lost: Iterable[tuple[str, Any, str]]) -> Iterator[Check]:
    """One check for each key of the model, its value and why it gets lost; one that passes where there is none."""
    found = list(lost)
    if not found:
        yield passed(
            f"{framework}-model",
            observed="all of it",
            limit="all of it",
            message=f"{cited}: everything the model says is told",
        )
    for key, value, why in found:
        yield warned(
            f"{framework}-model",
            observed=f"{key}={value}",
            limit="an option",
            message=f"model.{key}={value} gets lost: {cited}: {why}",
            fix=f"bring it with the program's own code, or leave model.{key} out if that is meant",
        )
