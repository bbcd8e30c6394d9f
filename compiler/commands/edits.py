"""What in a plan folder is not as it was compiled: by its manifest, and against what its configuration compiles to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from compiler import __version__
from compiler.errors import CompilerError, short
from compiler.frozen import dataclass
from compiler.plan import Plan
from compiler.render import owned
from compiler.render.artifacts import Artifact

CONFIG = "config.yaml"
INSTEAD = "undo the edit, or compile it again with --config-dir=PLAN --config-name=config"
CHUNK = 2**20
MOST_BYTES = 2**31
"""Of a file that is compared: tables of the largest plan have a fifth of it."""


@dataclass(frozen=True)
class Edit:
    """A file, relative to the plan folder, and what of it differs."""

    file: str
    what: str


def of_folder(folder: Path) -> list[Edit]:
    """Every file that is not as its manifest says; what differs is found by compiling config.yaml again.

    Empty for a folder with no manifest of ours: whoever reads it says what it is.
    """
    changed = [path for path, digest in digests(folder).items() if sha256(folder / path) != digest]
    found = {edit.file: edit.what for edit in _explained(folder)} if changed and is_ours(folder) else {}
    if CONFIG not in changed:
        return [Edit(path, found.get(path, _plainly(folder / path))) for path in changed]
    effect = next((f"it gives another {path}, {what}" for path, what in found.items() if path not in changed), None)
    whats = {CONFIG: found.get(CONFIG, effect or _plainly(folder / CONFIG))}
    return [Edit(path, whats.get(path, _plainly(folder / path))) for path in changed]


def _explained(folder: Path) -> list[Edit]:
    try:
        return list(again(folder, compiled(folder)))
    except CompilerError as error:
        return [Edit(CONFIG, f"it does not compile: {error.problems[0].what}")]


def compiled(folder: Path) -> Plan:
    """What a plan folder's config.yaml compiles to. Raises CompilerError."""
    from compiler.config.load import load_config  # for a folder that nobody has edited nothing heavy is loaded
    from compiler.pools import compile_any

    return compile_any(load_config([], str(folder), "config"))


def is_ours(folder: Path) -> bool:
    """Whether this version has compiled the folder, and would give the same bytes again."""
    return made_by(folder) == __version__


def made_by(folder: Path) -> str | None:
    """The version that compiled the folder; None where none of ours did."""
    found: str | None = _manifest(folder).get("rankplan")
    return found


def again(folder: Path, plan: Plan) -> Iterator[Edit]:
    """Every file that is not what `plan` writes, with the first thing that differs."""
    from compiler.render import folder as plan_folder

    made: dict[str, str] = {}
    for item in plan_folder.everything(plan):
        artifact = item if isinstance(item, Artifact) else item(dict(sorted(made.items())))
        content = _bytes(artifact)
        made[artifact.path] = hashlib.sha256(content).hexdigest()
        if sha256(folder / artifact.path) != made[artifact.path]:
            yield Edit(artifact.path, _difference(folder / artifact.path, content))
    for path in digests(folder):
        if path not in made:
            yield Edit(path, "nothing writes it any more" if _is_file(folder / path) else _plainly(folder / path))


def _bytes(artifact: Artifact) -> bytes:
    chunks: Iterable[str | bytes] = [artifact.text] if isinstance(artifact.text, (str, bytes)) else artifact.text
    return b"".join(chunk.encode() if isinstance(chunk, str) else chunk for chunk in chunks)


def digests(folder: Path) -> Mapping[str, str]:
    """File -> sha256, as its manifest has it; empty for a folder with no manifest of ours."""
    return dict(_manifest(folder).get("files", {}))


def _manifest(folder: Path) -> Mapping[str, Any]:
    """What a manifest of ours says; empty where there is none, or it cannot be read."""
    try:
        found = owned.contents(folder) if owned.listed(folder) is not None else {}
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}


def sha256(path: Path) -> str | None:
    """None for what is no file, cannot be read, or is larger than any of ours."""
    digest = hashlib.sha256()
    try:
        if not _is_file(path) or path.stat().st_size > MOST_BYTES:
            return None
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def _plainly(path: Path) -> str:
    if _is_file(path):
        return "changed since"
    return "it is no file" if os.path.lexists(path) else "it is not there"


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for a name too long


def _difference(path: Path, compiled: bytes) -> str:
    """The first value of a JSON file, or line of another, that differs."""
    if not _is_file(path):  # a pipe would be waited for
        return _plainly(path)
    try:
        with path.open("rb") as file:
            found = file.read(len(compiled) + CHUNK)
    except OSError:
        return _plainly(path)
    if path.suffix == ".json" and (what := _json_difference(found, compiled)):
        return what
    return difference(compiled, found, ("compiled", "found"))


def difference(one: bytes, other: bytes, words: tuple[str, str]) -> str:
    """The first line that differs between two texts, each after its word."""
    for number, (wanted, there) in enumerate(zip_longest(one.splitlines(), other.splitlines()), start=1):
        if wanted != there:
            return f"line {number}: {words[0]} {_line(wanted)}, {words[1]} {_line(there)}"
    return "other bytes"


def _line(line: bytes | None) -> str:
    return "no such line" if line is None else short(line.decode(errors="backslashreplace"))


def _json_difference(found: bytes, compiled: bytes) -> str | None:
    try:
        pairs = _values(json.loads(compiled), json.loads(found), "")
        return next(pairs, None)
    except (ValueError, RecursionError):
        return None


def _values(wanted: Any, there: Any, path: str) -> Iterator[str]:
    """Values of two trees that differ, each with the path to it."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key in [*wanted, *(key for key in there if key not in wanted)]:
            at = f"{path}.{key}" if path else str(key)
            if key not in there or key not in wanted:
                yield f"{at}: {'added' if key in there else 'taken away'}"
            else:
                yield from _values(wanted[key], there[key], at)
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for index, (one, other) in enumerate(zip(wanted, there, strict=True)):
            yield from _values(one, other, f"{path}[{index}]")
    elif wanted != there or type(wanted) is not type(there):
        yield f"{path}: compiled {_value(wanted)}, found {_value(there)}"


def _value(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, (dict, list)) else short(json.dumps(value, ensure_ascii=False))
