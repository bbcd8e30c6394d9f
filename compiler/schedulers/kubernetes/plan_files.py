"""The plan folder as pods see it: immutable ConfigMaps, each small enough, that one volume puts together again."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from compiler.frozen import dataclass
from compiler.rank_map import COLUMNS, RankMap
from compiler.schedulers import runtime_files
from compiler.schedulers.job import Job
from compiler.schedulers.kubernetes import names
from compiler.schedulers.kubernetes.objects import Node, metadata

OBJECT_BYTES = 2**20
"""What the API server takes in one ConfigMap."""
PART_BYTES = 700_000
"""Of the values of one of ours, as they are written: with its keys and indents it stays below OBJECT_BYTES."""
PLAIN_BYTES = 2**18
"""A table up to here is written as it is: `kubectl apply` without --server-side takes no larger object."""
RANKS = 16384
"""Beyond, a rank's row is worked out from plan.json by runtime/rank_map.py."""
PART_RANKS = 4096
NOT_IN_PODS = frozenset({"attempt.py", "bind.py", "failures.py"})
"""Here the controller binds hosts and restarts."""
SERVER_SIDE = "kubectl apply --server-side"


@dataclass(frozen=True)
class File:
    """A file of the plan folder; `value` is its text, or base64 of what is `binary`."""

    path: str
    value: str
    binary: bool = False

    @property
    def key(self) -> str:
        """Its path as a key of a ConfigMap, which takes no slash."""
        return self.path.replace("/", ".")

    @property
    def size(self) -> int:
        return len(self.value.encode())


def files(job: Job) -> Iterator[File]:
    """Every file that a pod sees."""
    yield from texts(job)
    if job.world_size <= RANKS:
        yield from _table(job)


def texts(job: Job) -> Iterator[File]:
    """All but the table of ranks, which is cut to size."""
    for name, text in runtime_files.files(job).items():
        if name not in NOT_IN_PODS:
            yield File(f"runtime/{name}", text)
    for path, text in job.shared:
        yield File(path, text)


def _table(job: Job) -> Iterator[File]:
    """The rank map, compressed in parts of equally many ranks where it is large."""
    header = ",".join(COLUMNS) + "\n"
    rows = _rows(RankMap(job.world))
    if sum(map(len, rows)) <= PLAIN_BYTES:
        yield File("rank_map.csv", header + "".join(rows))
        return
    for part, first in enumerate(range(0, len(rows), PART_RANKS)):
        text = header * (part == 0) + "".join(rows[first : first + PART_RANKS])
        packed = gzip.compress(text.encode(), mtime=0)
        yield File(f"rank_map.csv.{part:03d}.gz", base64.b64encode(packed).decode(), binary=True)


def _rows(ranks: RankMap) -> list[str]:
    columns = [map(str, ranks[column].tolist()) for column in COLUMNS]
    return [line + "\n" for line in map(",".join, zip(*columns, strict=True))]


@dataclass(frozen=True)
class Shipped:
    """The ConfigMaps, and the volume of a pod that holds each file at its path of the plan folder."""

    maps: tuple[Node, ...]
    volume: Node


def ship(job: Job, options: Any, more: Sequence[File] = ()) -> Shipped:
    """Files, and `more`, dealt out in order, a further ConfigMap where the one before is full."""
    found = [*files(job), *more]
    digest = hashlib.sha256(json.dumps([[file.path, file.value] for file in found]).encode()).hexdigest()
    maps, sources = [], []
    for index, part in enumerate(_parts(found)):
        name = names.config_map(job.name, digest, index)
        maps.append(_config_map(name, part, job, options))
        items = [{"key": file.key, "path": file.path} for file in part]
        sources.append({"configMap": {"name": name, "items": items}})
    return Shipped(tuple(maps), {"name": "plan", "projected": {"sources": sources}})


def _parts(found: list[File]) -> list[list[File]]:
    parts: list[list[File]] = [[]]
    for file in found:
        if parts[-1] and sum(other.size for other in parts[-1]) + file.size > PART_BYTES:
            parts.append([])
        parts[-1].append(file)
    return parts


def _config_map(name: str, part: list[File], job: Job, options: Any) -> Node:
    how = {"rankplan/apply": f"{SERVER_SIDE}: without it kubectl keeps a copy, which holds {PLAIN_BYTES} bytes at most"}
    data = {file.key: file.value for file in part if not file.binary}
    binary = {file.key: file.value for file in part if file.binary}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name, job, options, annotations=how),
        "immutable": True,
        **({"data": data} if data else {}),
        **({"binaryData": binary} if binary else {}),
    }
