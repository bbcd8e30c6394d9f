"""What an override may choose of a group: one of its files, and of `scheduler` several."""

from __future__ import annotations

import re

from compiler.errors import Problem, short

GROUPS = ("hardware", "model", "parallel", "workload", "framework", "scheduler", "site", "launch", "expect")

SEVERAL = "scheduler"
"""The group of which a list chooses several files."""

_NOTHING = re.compile(r"|null|true|false|[-+.0-9_e]+|\{\s*\}", re.IGNORECASE)
_LISTS = re.compile(r"\[[^\[\]{}]*\]")
_DIGITS = 300
"""Digits of a whole number that no setting can hold: a float ends at 1e308."""


def refused(key: str, value: str) -> str | None:
    """What is wrong with an override of a group (its key without + or ~): a number, nothing, or a list where one file belongs."""
    if _NOTHING.fullmatch(value.strip()) or (key != SEVERAL and re.fullmatch(r"\[\s*\]", value.strip())):
        return f"{key}={short(value)} names no option of the group {key}"
    if value.lstrip().startswith("{"):  # its keys, which the schema is held against
        return None
    if key != SEVERAL:
        return f"{key}={short(value)} names several files, and {key} is one" if re.search(r"[\[{]", value) else None
    entries = [entry.strip() for found in _LISTS.findall(value) for entry in found[1:-1].split(",")]
    bad = [entry for entry in entries if _NOTHING.fullmatch(entry) and entries != [""]]
    if bad or re.search(r"[\[\]{}]", _LISTS.sub("", value)):
        return f"{key}={short(value)} is no list of names"
    return None


def endless(key: str, value: str) -> Problem | None:
    """A whole number that neither Python reads nor a setting holds; the texts of variables are no numbers."""
    if re.fullmatch(rf"[-+]?[0-9_]{{{_DIGITS},}}", value.strip()) and ".environment" not in key:
        return Problem(f"{key} is a number of {len(value.strip())} digits", "write a number that a setting can hold")
    return None
