"""Where in a JSON text a name stands: JSON's own reader forgets it."""

from __future__ import annotations

import json
import re


def line_of(text: str, name: str, time: int = 1) -> int:
    """Line of the `time`-th object that has `name` as its name or id; of the first line where it is written otherwise."""
    found = re.finditer(rf'"(?:name|id)"\s*:\s*"{re.escape(name)}"', text)
    positions = [match.start() for match in found]
    return text.count("\n", 0, positions[min(time, len(positions)) - 1]) + 1 if positions else 1


def line_of_item(text: str, key: str, number: int) -> int:
    """Line in which the `number`-th entry of the list `key` begins, of a text that is JSON."""
    start = re.search(rf'"{key}"\s*:\s*\[', text)
    decoder, at = json.JSONDecoder(), start.end() if start else 0
    for _ in range(number if start else 0):
        at = decoder.raw_decode(text, _next(text, at))[1]
    return text.count("\n", 0, _next(text, at)) + 1


def _next(text: str, at: int) -> int:
    """Where the next entry begins, behind spaces and a comma."""
    found = re.compile(r"[\s,]*").match(text, at)
    return found.end() if found else at
