"""What selects the constants of a plan: the releases of its software."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compiler.words import natural

Table = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Level -> key -> constant: the shared ones as they are, the others as factors."""


def release_key(table: Table, family: str, release: str) -> str:
    """The release as it was measured, else the latest one of the product or else of the framework; empty where none was.

    A build that is named instead of numbered is no latest one.
    """
    wanted = f"{family}/{release}"
    known = [key for key in table.get("release", {}) if key.startswith(f"{family}/")]
    known = [key for key in known if product(key) == product(wanted)] or known
    return wanted if wanted in known else max(known, key=_latest, default="")


def _latest(key: str) -> tuple[bool, tuple[tuple[int, int, str], ...]]:
    return key.partition("/")[2][:1].isdigit(), natural(key)


def product(release: str) -> str:
    """What a release is a version of, "megatron/nemo" of "megatron/nemo-25.02"; empty where it is a version alone."""
    found = re.match(r"\w[\w-]*/[a-z-]*[a-z](?=-\d)", release)
    return found[0] if found else ""


def constants(table: Table, defaults: Mapping[str, float], keys: Mapping[str, str]) -> dict[str, float]:
    """The shared constants times the factors of each level's key; a key that was not measured changes nothing."""
    found = {**defaults, **table.get("shared", {}).get("", {})}
    for level, key in keys.items():
        for name, factor in table.get(level, {}).get(key, {}).items():
            found[name] *= factor
    return found
