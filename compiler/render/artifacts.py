"""A file of the plan folder, before it is written, and the text of JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from compiler.frozen import dataclass


@dataclass(frozen=True)
class Artifact:
    """`path` is relative to the plan folder, with `/`; `text` is whole, or chunks that are written as they come."""

    path: str
    text: str | bytes | Iterable[str]
    executable: bool = False

    def within(self, folder: str) -> Artifact:
        """The same file in a folder of the plan's; in the plan folder itself where that has no name."""
        return replace(self, path=f"{folder}/{self.path}") if folder else self


def to_json(contents: Mapping[str, Any]) -> str:
    """JSON in a fixed layout; a number that is no number is a bug of ours, and refused."""
    return json.dumps(contents, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
