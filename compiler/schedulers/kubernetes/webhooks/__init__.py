"""What the controllers' webhooks refuse and no schema holds, as checks of the manifests themselves.

Each module here is found; its RULES map an object's `<group>/<kind>` to a function that yields (where, what is wrong).
Sources: the admission code of Kubernetes 1.36, JobSet 0.12, LeaderWorkerSet 0.10, Trainer 2.3, Volcano 1.15, MPI
Operator 0.8 and Kueue 0.19.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from compiler.checks import Check, failed, passed

Document = dict[str, Any]
Finding = tuple[str, str]
"""Where in the object, and what is wrong there."""
Rule = Callable[[Document], Iterator[Finding]]


def refused(documents: Sequence[Document]) -> Iterator[Check]:
    """A failure for each rule that a manifest breaks; one pass where there is none."""
    found = [(name, finding) for item in documents for name, finding in findings(item)]
    if not found:
        count = f"{len(documents)} objects"
        yield passed(
            "webhooks",
            observed=count,
            limit="admitted",
            message=f"{count} keep the rules of their controllers' webhooks",
        )
    for name, (where, what) in found:
        yield failed(
            "webhooks",
            observed=name,
            limit="admitted",
            message=f"{name}: {where} {what}",
            fix="change the option that it comes from",
        )


def findings(item: Document) -> Iterator[tuple[str, Finding]]:
    """(kind/name, finding) of one object."""
    for rule in _rules().get(f"{group(item)}/{item['kind']}", ()):
        for finding in rule(item):
            yield f"{item['kind']} {item['metadata']['name']}", finding


def group(item: Document) -> str:
    """API group of an object; empty for the core's."""
    return str(item["apiVersion"]).rpartition("/")[0]


@cache
def _rules() -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for module in sorted(entry.name for entry in pkgutil.iter_modules(__path__)):
        rules: dict[str, Rule] = getattr(importlib.import_module(f"{__name__}.{module}"), "RULES", {})
        for kind, rule in rules.items():
            found.setdefault(kind, []).append(rule)
    return found
