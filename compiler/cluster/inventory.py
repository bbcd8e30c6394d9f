"""The table of hosts a user gives: a CSV with the header `host,leaf,pod,rack` and whatever else."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from functools import lru_cache

from compiler.errors import ConfigError, short
from compiler.frozen import dataclass
from compiler.inputs import table
from compiler.words import natural, whole

REQUIRED = ("host", "leaf", "pod", "rack")
GPUS = "gpus"
"""A column that a table may have."""
LONGEST = 253
"""Characters of a name: a DNS name's."""


@dataclass(frozen=True)
class Host:
    """One machine, where it hangs in the fabric, and how many GPUs it has, where the table says so."""

    host: str
    leaf: str
    pod: str
    rack: str
    gpus: int | None = None


def is_host(name: str) -> bool:
    """Whether a name can be a machine's."""
    return bool(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name))


@lru_cache(maxsize=4)
def read(text: str) -> tuple[Host, ...]:
    """Parse a table and sort it by pod, leaf, then host. Raises ConfigError with the line that is wrong.

    Every pass, and every trial of a fix, asks for the same table again.
    """
    _, rows = table.read("hardware.inventory", text, REQUIRED)
    hosts: dict[str, Host] = {}
    for number, row in rows:
        values = {name: row[name].strip() for name in REQUIRED}
        name = values["host"]
        if not is_host(name):
            raise ConfigError.of(
                f"hardware.inventory line {number}: '{short(name)}' is not a host name", "write a host name"
            )
        if bad := [f"{key}={cell}" for key, cell in values.items() if len(cell) > LONGEST or not cell.isprintable()]:
            raise ConfigError.of(
                f"hardware.inventory line {number}: {short(bad[0])} is no name",
                f"write up to {LONGEST} characters that can be printed",
            )
        if name in hosts:
            raise ConfigError.of(f"hardware.inventory line {number}: host {name} is listed twice", "list it once")
        hosts[name] = Host(**values, gpus=whole(row.get(GPUS, "").strip()))
    return tuple(sorted(hosts.values(), key=lambda h: (natural(h.pod), natural(h.leaf), natural(h.host))))


def part(text: str, hosts: Collection[str]) -> str:
    """The table of some hosts alone, in the order of the file; every column is kept."""
    kept = set(hosts)
    columns, rows = table.read("hardware.inventory", text, REQUIRED)
    found = io.StringIO()
    writer = csv.DictWriter(found, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in rows if row["host"].strip() in kept)
    return found.getvalue()
