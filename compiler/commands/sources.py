"""What a plan was compiled from, as it is now, against what its config.yaml holds of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.commands.edits import CONFIG, Edit, difference
from compiler.errors import short
from compiler.inputs import yaml_mapping
from compiler.inputs.file import MOST_YAML_BYTES
from compiler.inputs.file import text as text_of

FILES = ("hardware.inventory", "hardware.calibration", "model.hf_config", "experts.load", "experts.last")
"""Keys that name an input file; what it holds is part of the plan."""


def changed(folder: Path, overrides: Sequence[str], config_dir: str | None) -> Iterator[Edit]:
    """Input files that are not there, else keys of the configuration that come out otherwise, each with where it is from.

    Raises ConfigError for overrides that compile nothing.
    """
    named = dict(_named(overrides))
    missing = [(key, path) for key, path in named.items() if not Path(path).expanduser().exists()]
    if missing:
        yield from (Edit(short(path), f"{key} names it, and it is not there") for key, path in missing)
        return
    written = text_of(str(folder / CONFIG), folder / CONFIG, "compile the plan again", MOST_YAML_BYTES)
    held, found = (yaml_mapping.read(CONFIG, text) for text in (written, _now(overrides, config_dir)))
    for key, was, becomes in _leaves(held, found, ""):
        yield Edit(_origin(key, named, overrides, config_dir), f"{key}: {_said(was, becomes)}")


def _now(overrides: Sequence[str], config_dir: str | None) -> str:
    """The configuration that overrides make; of a search, its best plan's."""
    from compiler.api import search
    from compiler.config.load import load_config
    from compiler.render.config_yaml import dump

    config = load_config(list(overrides), config_dir)
    return dump(search(overrides, config_dir).best.config if config.search.auto else config)


def _named(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Keys whose override names a file: a path, where the key takes names too."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        value = value.strip("'\"")
        if key in FILES and value and (key != "hardware.calibration" or value.endswith((".yaml", ".yml"))):
            yield key, value


def _leaves(held: Any, found: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(held, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*held, *found]):
            if path or key not in ("name", "out"):
                yield from _leaves(held.get(key), found.get(key), f"{path}.{key}" if path else str(key))
    elif held != found:
        yield path, held, found


def _origin(key: str, named: Mapping[str, str], overrides: Sequence[str], config_dir: str | None) -> str:
    """The file that a key is read from, else the override that sets it or chose its group, else the key's group."""
    if key in named:
        return named[key]
    group = key.partition(".")[0]
    if group == "model" and "model.hf_config" in named:
        return named["model.hf_config"]
    given = [override.lstrip("+") for override in reversed(overrides)]
    chosen = next((override for override in given if override.startswith((f"{group}=", f"{key}="))), group)
    file = Path(config_dir or "", group, f"{chosen.removeprefix(f'{group}=')}.yaml")
    return str(file) if config_dir and file.is_file() else chosen


def _said(was: Any, becomes: Any) -> str:
    if isinstance(was, str) and isinstance(becomes, str) and "\n" in was + becomes:
        return difference(was.encode(), becomes.encode(), ("was", "is"))
    return f"was {short(was)}, is {short(becomes)}"
