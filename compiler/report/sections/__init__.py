"""A topic of the report each, found by its module.

A module has `sections(plan, contents)`, where `contents` is the plan's dictionary, and `REPORT` and `CONSOLE`, its places among
the others: `CONSOLE` is None where the console says nothing of it. Most topics are of one part; those of pools are told by `plan.alone`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from compiler.plan import Plan
from compiler.report.blocks import Section


def of(plan: Plan, contents: Mapping[str, Any], *, console: bool = False) -> list[Section]:
    """What every topic says of a plan, in the order of the report, or of the console."""
    names = (item.name for item in pkgutil.iter_modules(__path__))
    topics = [importlib.import_module(f"{__name__}.{name}") for name in names]
    if console:
        topics = [topic for topic in topics if topic.CONSOLE is not None]
    topics.sort(key=lambda topic: topic.CONSOLE if console else topic.REPORT)
    return [section for topic in topics for section in topic.sections(plan, contents)]
