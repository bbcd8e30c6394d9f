"""Configurations of Hugging Face, for the tests that read them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from compiler.config.hf import read
from compiler.config.schema import writable
from compiler.errors import ConfigError
from compiler.render.assets import folder
from compiler.specs.model import Model

DATA = Path(__file__).parent / "data" / "hf"
MEASURED = Path(__file__).parents[1].parent / "shared" / "measurements" / "models"


def data(family: str, **changes: Any) -> dict[str, Any]:
    """A family's file with some keys changed; `...` takes a key out."""
    found = json.loads((DATA / f"{family}.json").read_text()) | changes
    return {key: value for key, value in found.items() if value is not ...}


def changed(tmp_path: Path, family: str, **changes: Any) -> Model:
    path = tmp_path / f"{family}.json"
    path.write_text(json.dumps(data(family, **changes)))
    return read(str(path))


def shipped(name: str) -> Any:
    """The file of conf/model as a Model."""
    path = folder("conf") / "model" / f"{name}.yaml"
    return OmegaConf.to_object(OmegaConf.merge(writable(Model), OmegaConf.load(path)))


def without_origin(model: Model, *more: str) -> dict[str, Any]:
    """What a file of conf/model and a config.json must agree on."""
    left_out = {"name", "declared", "assumed", *more}
    return {key: value for key, value in dataclasses.asdict(model).items() if key not in left_out}


def message(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    return str(caught.value)


WRAPPED = {"model_type": "llama", **{key: value for key, value in data("llama").items() if key != "model_type"}}
