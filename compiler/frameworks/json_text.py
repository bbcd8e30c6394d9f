"""JSON that is written behind an option."""

from __future__ import annotations

import json
import re
from typing import Any

_LETTERS = {letter: 10 ** (3 * power) for power, letter in enumerate("kmgt", 1)} | {
    letter: 2 ** (10 * power) for power, letter in enumerate("KMGT", 1)
}
_COUNTED = re.compile(r"([0-9]+)([KMGT])|([0-9]+(?:\.[0-9]+)?)([kmgt])")


def counted(text: str) -> str:
    """A number without its letter: 1.5k is 1500, 2K is 2048 (human_readable_int of vLLM and SGLang); other texts as they are."""
    found = _COUNTED.fullmatch(text.strip())
    if not found:
        return text
    binary, large, decimal, small = found.groups()
    return str(int(binary) * _LETTERS[large]) if binary else str(int(float(decimal) * _LETTERS[small]))


def mapping(text: str, *, letters: bool = False) -> dict[str, Any] | None:
    """What a JSON object holds; None for a text that is none. With `letters`, numbers outside of texts may have one behind them."""
    if letters:
        parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
        text = "".join(
            part if index % 2 else re.sub(r"\b[0-9]+(?:\.[0-9]+)?[kKmMgGtT]\b", lambda found: counted(found[0]), part)
            for index, part in enumerate(parts)
        )
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
