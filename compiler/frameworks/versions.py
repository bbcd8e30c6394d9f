"""Rules pinned to version ranges, as data: each framework's `versions.yaml`.

tested: "0.19.2"            # the newest version that the rules were proved against
ranges:                     # newest first; `until` is exclusive
- {from: "0.17", until: "0.21", source: where the rules were read, facts: {name: value}}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from compiler import plugins
from compiler.checks import Check, Status, check, rule
from compiler.frozen import dataclass
from compiler.specs.config import Config


@dataclass(frozen=True)
class Version:
    """The range that a version falls in; where it falls in none, the nearest: the last one before it, else the oldest, and the newest
    for a name without a number, as nightly.
    """

    number: str
    known: bool
    facts: Mapping[str, Any]
    source: str
    span: str


@cache
def _table(name: str) -> Mapping[str, Any]:
    import yaml

    text = plugins.folder(name).joinpath("versions.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    return found


def version(config: Config) -> Version:
    """The version that `framework.version` picks; the tested one where it is not given."""
    name = config.framework.name
    return _version(name, config.framework.version or str(_table(name)["tested"]))


@cache
def _version(name: str, number: str) -> Version:
    table = _table(name)
    ranges, key = table["ranges"], _key(number)
    before = [row for row in ranges if _key(str(row["from"])) <= key]
    row = before[0] if before else ranges[-1 if key else 0]
    known = _key(str(row["from"])) <= key < _key(str(row["until"]))
    return Version(
        number, known, row.get("facts", {}), str(row.get("source", "")), f"{row['from']} to below {row['until']}"
    )


def since(config: Config, number: str) -> bool:
    """Whether the version is `number` or later, as one without a number is, such as nightly."""
    own = _key(version(config).number)
    return not own or own >= _key(number)


def _key(number: str) -> tuple[int, ...]:
    """Release digits, so that 0.9 comes before 0.19; a suffix such as rc1 is left out."""
    return tuple(
        int(part)
        for part in re.findall(
            r"\d+", number.split("rc", maxsplit=1)[0].split("+", maxsplit=1)[0].split("dev", maxsplit=1)[0]
        )
    )


@rule
def checked(config: Config) -> Iterator[Check]:
    """An unknown version is worth a warning: its rules may have changed."""
    found, table = version(config), _table(config.framework.name)
    nearest = "" if found.known else f"; those of {found.span} are taken"
    ranges = ", ".join(f"{row['from']} to below {row['until']}" for row in table["ranges"])
    yield check(
        "framework-version",
        holds=found.known,
        observed=found.number,
        limit=ranges,
        message=f"{config.framework.name} {found.number}: rules are known for {ranges}" + nearest,
        fix=f"write framework.version={table['tested']}, or prove the plan with your version",
        otherwise=Status.WARN,
    )
