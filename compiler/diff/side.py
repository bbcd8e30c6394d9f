"""One side of a comparison: a plan folder as it lies on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from compiler.commands import folder
from compiler.commands.edits import Edit, digests, of_folder, sha256
from compiler.commands.folder import AGAIN, PlanFolder
from compiler.diff.options import options
from compiler.errors import ConfigError
from compiler.frameworks.adapter import names
from compiler.frameworks.checkpoints import Run
from compiler.frozen import dataclass
from compiler.inputs import json_object, yaml_mapping
from compiler.inputs.file import text as text_of
from compiler.pooled import SCHEMA as POOLS
from compiler.specs.config import Config
from compiler.specs.workload import ROLES


@dataclass(frozen=True)
class Part:
    """One plan: the only one of a folder, or a pool's. `settings` are its keys by dotted path."""

    plan: PlanFolder
    settings: Mapping[str, Any]

    @property
    def trains(self) -> bool:
        return bool(self.settings.get("workload.kind") == "train")

    @property
    def framework(self) -> str:
        return str(self.settings.get("framework.name"))

    @cached_property
    def run(self) -> Run:
        """What its program is started with."""
        given = [*(self.settings.get("launch.command") or ()), *(self.settings.get("framework.args") or ())]
        return Run(self.settings, options(map(str, given)))


@dataclass(frozen=True)
class Side:
    """A plan folder. `files` has the sha256 of each file that its manifest lists, None where it is none; `parts` is by pool,
    with one of no name where there are no pools; `edits` are files that somebody changed.
    """

    label: str
    path: Path
    contents: Mapping[str, Any]
    settings: Mapping[str, Any]
    files: Mapping[str, str | None]
    parts: Mapping[str, Part]
    edits: tuple[Edit, ...]

    @property
    def name(self) -> str:
        return str(self.contents["name"])

    def text(self, file: str) -> str:
        """A listed file. Raises ConfigError for what cannot be read."""
        return text_of(str(self.path / file), self.path / file, AGAIN, folder.MOST_BYTES)


def read(path: Path, label: str) -> Side:
    """Raises ConfigError for what is no whole plan folder."""
    listed = digests(path)
    if not listed:
        raise ConfigError.of(
            f"{path} is no plan folder: it has no manifest.json of ours",
            "name a folder that `python -m compiler` wrote",
        )
    contents = json_object.read(str(path / "plan.json"), _file(path, "plan.json"), AGAIN)
    pooled = contents.get("schema") == POOLS
    if not isinstance(contents.get("name"), str):
        raise ConfigError.of(f"{path / 'plan.json'} has no name", AGAIN)
    parts = {role: _part(path / role) for role in ROLES} if pooled else {"": _part(path)}
    return Side(
        label=label,
        path=path,
        contents=contents,
        settings=_settings(path) if pooled else parts[""].settings,
        files={file: sha256(path / file) for file in sorted(listed)},
        parts=parts,
        edits=tuple(of_folder(path)),
    )


def _part(path: Path) -> Part:
    found = Part(folder.read(path), _settings(path))
    if found.framework not in names():
        raise ConfigError.of(f"{path / 'config.yaml'} names no framework that is known", AGAIN)
    return found


def _settings(path: Path) -> dict[str, Any]:
    """Keys that an older version did not know have what is their default."""
    return {**_defaults(), **dict(flat(yaml_mapping.read(str(path / "config.yaml"), _file(path, "config.yaml"))))}


@cache
def _defaults() -> dict[str, Any]:
    return dict(flat(asdict(Config())))


def _file(path: Path, name: str) -> str:
    return text_of(str(path / name), path / name, AGAIN, folder.MOST_BYTES)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree of mappings by their dotted paths; a list, or an empty mapping, is a leaf."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, item in value.items():
        yield from flat(item, f"{path}.{key}" if path else str(key))
