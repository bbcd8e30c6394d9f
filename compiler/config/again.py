"""A plan folder's configuration with overrides on top: keys, and options of groups in the place of a whole group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import OmegaConf

from compiler.config.choices import GROUPS
from compiler.config.compose import compose
from compiler.config.load import load_config
from compiler.config.messages import translated
from compiler.errors import ConfigError, InvariantError
from compiler.inputs import yaml_mapping
from compiler.inputs.file import MOST_YAML_BYTES
from compiler.inputs.file import text as text_of
from compiler.plan import Plan
from compiler.pools import compile_any
from compiler.specs.config import Config

CONFIG = "config.yaml"


def compiled(folder: Path, overrides: Sequence[str]) -> Plan:
    """Raises ConfigError, also where the values do not fit together: a caller compares, and compiles nothing."""
    try:
        return compile_any(config(folder, overrides))
    except InvariantError as error:
        raise ConfigError(error.problems) from error


def config(folder: Path, overrides: Sequence[str]) -> Config:
    """Raises ConfigError."""
    groups = [override for override in overrides if override.partition("=")[0].lstrip("+~") in GROUPS]
    keys = [override for override in overrides if override not in groups]
    if not groups:
        return load_config(keys, str(folder), "config")
    with TemporaryDirectory(prefix="rankplan-") as place:
        _write(Path(place) / CONFIG, {**_written(folder), **_chosen(groups)})
        return load_config(keys, place, "config")


def _written(folder: Path) -> dict[Any, Any]:
    path = folder / CONFIG
    return yaml_mapping.read(str(path), text_of(str(path), path, "compile the plan again", MOST_YAML_BYTES))


def _chosen(groups: Sequence[str]) -> dict[str, Any]:
    """The groups that are chosen anew, as they would be compiled; the claims about a model go with it."""
    composed = compose(groups)
    names = {override.partition("=")[0].lstrip("+~") for override in groups}
    with translated():
        return {
            name: OmegaConf.to_container(composed[name], resolve=True)
            for name in sorted(names | ({"expect"} if "model" in names else set()))
        }


def _write(path: Path, values: dict[Any, Any]) -> None:
    import yaml

    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
