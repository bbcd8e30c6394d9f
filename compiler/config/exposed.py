"""No secret enters a file: every text of a configuration is looked at, whichever key it is under."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compiler import secrets
from compiler.errors import Problem
from compiler.schedulers import values
from compiler.specs.config import Config

REFERENCES = "launch.secrets."
_ENVIRONMENTS = tuple(
    f"{group}.environment." for group in ("launch", "site", "workload.pools.prefill", "workload.pools.decode")
)
_RANDOM = "a1B2c3D4"
"""A value that is a secret where a name allows one at all."""
_ON_HOSTS = frozenset({"slurm", "local"})


def problems(config: Config) -> Iterator[Problem]:
    """Each value that looks like a secret, by its key and never by what it holds; and references that are none."""
    references = (values.secret(name, value) for name, value in sorted(config.launch.secrets.items()))
    yield from (problem for problem in references if isinstance(problem, Problem))
    texts, told = list(_texts(config)), set()
    clean = secrets.first("\n".join(text for _, _, text in texts)) is None  # one look at all of them is the rule
    for key, name, text in texts:
        kind = secrets.named(name, text) if name and not key.startswith(REFERENCES) else None
        kind = kind or (None if clean else _kind(text))
        if kind is not None and key not in told:  # a list comes after its entries, which tell theirs
            told |= {key, re.sub(r"\[\d+\]$", "", key)} if name == "" else {key}
            yield _problem(key, kind, text, config)
    for key, table in (("hardware.inventory", config.hardware.inventory), ("experts.load", config.experts.load)):
        yield from _columns(key, table or "")


def in_override(override: str) -> Iterator[Problem]:
    """The same of `KEY=VALUE`, before it names a folder or enters a table."""
    key, _, value = override.lstrip("+~").partition("=")
    kind = _kind(f"{key}={value}") or _kind(value.replace(",", " "))
    if kind is None and key.startswith(REFERENCES) and not re.match(r"[/{'\"]|null$|$", value):
        kind = "a secret itself"
    if kind is not None:
        yield Problem(f"{key} holds what looks like {kind}", _instead(key, "NAME", ()))


def _kind(text: str) -> str | None:
    found = secrets.first(text)
    return found.kind if found else None


def _texts(value: Any, key: str = "", name: str = "") -> Iterator[tuple[str, str, str]]:
    """Key, name and text of every value; keys of the user's own mappings are names, and texts themselves.

    A list is looked at whole too: an option and its value may be two entries.
    """
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from _texts(getattr(value, item.name), f"{key}.{item.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for entry, held in value.items():
            yield f"{key} (a key)", "", str(entry)
            yield from _texts(held, f"{key}.{entry}", str(entry))
    elif isinstance(value, (list, tuple)):
        for index, held in enumerate(value):
            yield from _texts(held, f"{key}[{index}]", name)
        if all(isinstance(held, str) for held in value):
            yield key, "", " ".join(value)
    elif isinstance(value, str) or (name and isinstance(value, (int, float)) and not isinstance(value, bool)):
        yield key, name, str(value)


def _columns(key: str, table: str) -> Iterator[Problem]:
    """Columns of a table of the user's whose header names secrets."""
    rows = csv.reader(table.split("\n"))
    header = next(rows, [])
    for index, name in enumerate(header):
        if secrets.named(name, _RANDOM) is None:
            continue
        cells = (row[index] for row in csv.reader(table.split("\n")[1:]) if len(row) > index)
        kind = next((found for cell in cells if (found := secrets.named(name, cell))), None)
        if kind is not None:
            yield Problem(f"{key} has a column {name}, which looks like {kind}", "leave the column out")


def _problem(key: str, kind: str, text: str, config: Config) -> Problem:
    variable = key.rpartition(".environment.")[2]
    if not key.startswith(_ENVIRONMENTS):
        found = secrets.first(text)
        variable = re.sub(r"\W", "_", found.name.rpartition(".")[2]).upper() if found and found.name else "NAME"
    verb = "looks like" if key.startswith(_ENVIRONMENTS) else "holds what looks like"
    return Problem(
        f"{key} {verb} {kind}, and files of the plan would carry it", _instead(key, variable, config.scheduler)
    )


def _instead(key: str, variable: str, scheduler: Sequence[str] | Mapping[str, Any]) -> str:
    """How a rank gets it all the same, in the words of the targets that are chosen."""
    pods = bool(scheduler) and _ON_HOSTS.isdisjoint(scheduler)
    where = "a Secret of Kubernetes" if pods else "a file on the cluster"
    if key.startswith(_ENVIRONMENTS):
        named = f"{{secret:{variable.lower().replace('_', '-')},key:value}}" if pods else f"/run/secrets/{variable}"
        return f"write {key}=null launch.secrets.{variable}={named}, or where else it is: {where}"
    reference = f"launch.secrets.{variable}={'{secret:SECRET,key:KEY}' if pods else 'FILE'}"
    if re.match(r"launch\.command|launch\.preflight|framework\.args|workload\.pools|site\.slurm\.\w+_command", key):
        return (
            f"write {reference}, {where}: each rank has it as the variable {variable}, "
            f"which a program reads by itself or a shell fills in, as in [bash,-c,'exec PROGRAM \"${variable}\"']"
        )
    if key == "launch.image":
        return "leave it out: the cluster logs in to a registry, by image_pull_secrets or the container runtime's credentials"
    return f"leave it out: ranks read secrets from {where}, as in {reference}"
