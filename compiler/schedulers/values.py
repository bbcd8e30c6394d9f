"""What a user may write under `launch`: names, texts, mounts, secrets and times, each parsed or refused by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional

from compiler.errors import Problem, short
from compiler.frozen import dataclass

RESERVED = frozenset(
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"}
)
VISIBLE = frozenset({"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"})
RESERVED_PREFIXES = ("RANKPLAN_", "SLURM_", "SLURMD_")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TIME = re.compile(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])")
_FILE = re.compile(r"/[^/\0\n][^\0\n]*")
_SECRET_KEYS = frozenset({"file", "secret", "key"})
_MOUNT_KEYS = frozenset({"source", "target", "read_only"})


@dataclass(frozen=True)
class Secret:
    """Where a rank finds a variable's value: a file on the cluster, a key of a Kubernetes Secret, or one of each."""

    name: str
    file: Optional[str] = None
    secret: Optional[str] = None
    key: Optional[str] = None


@dataclass(frozen=True)
class Mount:
    """A folder of the host and where the container sees it."""

    source: str
    target: str
    read_only: bool = False


def text(key: str, value: str) -> Iterator[Problem]:
    """A value must survive as an argument or a variable: no NUL, and text that UTF-8 can write."""
    if "\0" in value:
        yield Problem(f"{key} holds a NUL character, which no program can be given", "leave it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        yield Problem(f"{key} is not UTF-8 text", "write it as UTF-8")


def variable(key: str, name: str) -> Iterator[Problem]:
    """A variable's name must be one for every shell, and none that the launcher sets itself."""
    if not _VARIABLE.fullmatch(name):
        yield Problem(
            f"{key} holds {short(repr(name))}, which is no variable name", "write letters, digits and _, no digit first"
        )
    if name in RESERVED or name.startswith(RESERVED_PREFIXES):
        yield Problem(f"{key}.{name} is set by the launcher, from the plan", "leave it out")


def environment(key: str, values: Mapping[str, str]) -> Iterator[Problem]:
    for name, value in sorted(values.items()):
        yield from variable(key, name)
        yield from text(f"{key}.{name}", value)


def devices(key: str, names: Iterable[str]) -> Iterator[Problem]:
    """Where servers share a node, each is shown GPUs of its own at the start."""
    for name in sorted(VISIBLE.intersection(names)):
        yield Problem(f"{key}.{name} is set by the launcher, from the plan, where servers share a node", "leave it out")


def seconds(key: str, value: str) -> int | Problem:
    """Seconds of `HH:MM:SS`, at least one."""
    found = _TIME.fullmatch(value)
    total = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3]) if found else 0
    return total or Problem(f"{key}={short(value)} is not a time above zero", "write HH:MM:SS, as in 24:00:00")


def secret(name: str, value: Any) -> Secret | Problem:
    """A reference, never the value: a file's path, or a mapping of file, or secret and key."""
    wrong = Problem(
        f"launch.secrets.{name} is not a reference",
        f"write launch.secrets.{name}=/path/of/a/file on the cluster, or {{secret: NAME, key: KEY}}",
    )
    given = {"file": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not given or not set(given) <= _SECRET_KEYS:
        return wrong
    if not all(isinstance(entry, str) and entry for entry in given.values()):
        return wrong
    if ("secret" in given) != ("key" in given) or not _FILE.fullmatch(given.get("file", "/x")):
        return wrong
    return Secret(name, **given)


def mount(key: str, value: Any) -> Mount | Problem:
    """`SOURCE:TARGET[:ro]`, or {source, target, read_only} where a path has a colon; both paths absolute."""
    wrong = Problem(
        f"{key}={short(value)} is not a mount",
        "write /source:/target, /source:/target:ro or {source, target, read_only}",
    )
    if isinstance(value, str):
        parts = value.split(":")
        if len(parts) not in (2, 3) or parts[2:] not in ([], ["ro"], ["rw"]):
            return wrong
        value = {"source": parts[0], "target": parts[1], "read_only": parts[2:] == ["ro"]}
    if not isinstance(value, Mapping) or not {"source", "target"} <= set(value) <= _MOUNT_KEYS:
        return wrong
    paths = (value["source"], value["target"])
    if not all(isinstance(path, str) and path.startswith("/") for path in paths):
        return wrong
    read_only = value.get("read_only", False)
    return Mount(*paths, read_only) if isinstance(read_only, bool) else wrong
