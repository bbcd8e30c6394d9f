"""A file of the plan folder, before it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Artifact:
    """`path` is relative to the plan folder, with `/`; `text` is whole, or chunks that are written as they come."""

    path: str
    text: str | bytes | Iterable[str]
    executable: bool = False
