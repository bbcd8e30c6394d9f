"""Training plans for MaxText: what is refused of them, and what they are started with."""

from __future__ import annotations

from typing import Any

from compiler import invariants
from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.frameworks.lay_out import lay_out
from tests.configs import changed, composed

TRAIN = ("framework=maxtext", "workload=train")


def checks(values: dict[str, Any], *overrides: str) -> dict[str, Check]:
    config = changed(composed(*TRAIN, *overrides), values)
    return {check.id: check for check in invariants.declared(config)}


def arguments(*overrides: str) -> dict[str, str]:
    emission = adapter("maxtext").emission(lay_out(composed(*TRAIN, *overrides)))
    return dict(str(word).split("=", 1) for word in emission.arguments)
