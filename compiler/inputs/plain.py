"""Values as YAML and JSON files hold them: texts, truth values, finite numbers, null, and lists and mappings of those."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from compiler.errors import ConfigError, short


def checked(what: str, value: Any) -> Any:
    """The value as it is. Raises ConfigError, about `what`, for one that no such file holds."""
    for strange in _strange(value):
        raise ConfigError.of(
            f"{what} holds {short(strange)}, which is no text, truth value or finite number",
            "write a finite number, or put a text in quotes",
        )
    return value


def _strange(value: Any) -> Iterator[Any]:
    """.nan and .inf, dates, sets, and keys that are no texts."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _strange(inner) if isinstance(key, str) else (key,)
    elif isinstance(value, list):
        for inner in value:
            yield from _strange(inner)
    elif not (value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))):
        yield value
