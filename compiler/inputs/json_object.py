"""The text of a JSON object -> its values."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from compiler.errors import ConfigError

MOST_DIGITS = 30
"""Of an integer: beyond any count of bytes or FLOPs, and short of the length that Python refuses to print."""


def read(what: str, text: str, instead: str, *, checked: bool = True) -> dict[str, Any]:
    """Raises ConfigError for what is no object and for a key written twice.

    Where they are `checked`, for a number too that is none (`Infinity`, `NaN`, 1e999) or too long; else whoever uses one has to look.
    """
    numbers: dict[str, Any] = (
        {"parse_constant": _constant, "parse_float": _finite, "parse_int": _integer} if checked else {}
    )
    try:
        found = json.loads(text, object_pairs_hook=_once, **numbers)
    except RecursionError as error:
        raise ConfigError.of(f"{what} is not JSON that can be read: it is nested too deep", instead) from error
    except ValueError as error:
        raise ConfigError.of(f"{what} is not JSON: {error}", instead) from error
    if not isinstance(found, dict):
        raise ConfigError.of(f"{what} holds no JSON object", instead)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it holds the key {key} twice")
        found[key] = value
    return found


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds an integer of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError(f"{digits} is beyond any number")
    return found
