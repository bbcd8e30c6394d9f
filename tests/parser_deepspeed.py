"""Keys of DeepSpeed's JSON: those that its configuration looks up, and below them the fields of its pydantic classes."""

from __future__ import annotations

import importlib.metadata
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from compiler.frameworks.deepspeed.json_args import PREFIX
from compiler.frameworks.deepspeed.package import Package, opened
from compiler.frameworks.known import ANY
from tests.parser_hints import BOUNDS

SECTIONS = {
    "zero_optimization": "runtime.zero.config.DeepSpeedZeroConfig",
    "fp16": "runtime.precision_config.DeepSpeedFP16Config",
    "bf16": "runtime.precision_config.DeepSpeedBF16Config",
    "comms_logger": "comm.config.CommsLoggerConfig",
    "tensorboard": "monitor.config.TensorBoardConfig",
    "wandb": "monitor.config.WandbConfig",
    "csv_monitor": "monitor.config.CSVConfig",
    "comet": "monitor.config.CometConfig",
    "hybrid_engine": "runtime.config.HybridEngineConfig",
    "compile": "compile.config.CompileConfig",
}
"""Sections that are read by a class which refuses what it does not know."""

PLAIN = {
    "train_batch_size": "whole >=1",
    "train_micro_batch_size_per_gpu": "whole >=1",
    "gradient_accumulation_steps": "whole >=1",
    "gradient_clipping": "float >=0",
    "steps_per_print": "whole >=1",
}
"""Of keys that are looked up with a default, what they take (runtime/config.py compares or divides by them)."""


class LookedUp(dict[str, Any]):
    """A configuration that remembers which keys are asked for."""

    asked: set[str]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked = set()

    def __copy__(self) -> LookedUp:
        return self

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def keys(self) -> Any:
        return self


def table(release: str) -> dict[str, str]:
    """Of the installed release; a section that no class reads takes anything."""
    if importlib.metadata.version("deepspeed") != release:
        pytest.skip(f"deepspeed=={release} is not installed")
    with opened(8, None) as package:
        said = LookedUp({"train_batch_size": 8})
        package.module("runtime.config").DeepSpeedConfig(said)
        found = {f"{PREFIX}{key}": PLAIN.get(key, "") for key in said.asked}
        found |= {f"{PREFIX}{key}{ANY}": "" for key in said.asked - set(SECTIONS)}
        for key in said.asked & set(SECTIONS):
            found |= dict(_fields(f"{PREFIX}{key}", _class(package, SECTIONS[key])))
    return found


def _class(package: Package, path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(package.module(module), name)


def _fields(prefix: str, model: Any) -> Iterator[tuple[str, str]]:
    """Every field under its name and its alias, with those of a class of its own below it."""
    for name, field in model.model_fields.items():
        limits = (
            f"{sign}{getattr(item, key):g}"
            for item in field.metadata
            for key, sign in BOUNDS.items()
            if hasattr(item, key)
        )
        kind = _kind(field.annotation)
        kind = " ".join((kind, *limits)) if kind in ("whole", "float") else kind
        for spelt in filter(None, (name, field.alias)):
            yield f"{prefix}.{spelt}", kind
            inner = [item for item in _types(field.annotation) if hasattr(item, "model_fields")]
            for item in inner:
                yield from _fields(f"{prefix}.{spelt}", item)
            if not inner and not kind:
                yield f"{prefix}.{spelt}{ANY}", ""


def _types(hint: Any) -> list[Any]:
    """The types that a hint allows, None left out."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [part for part in parts if part is not type(None)]


def _kind(hint: Any) -> str:
    """What a plain hint takes in the words of a table; empty where it may be several things."""
    found = _types(hint)
    if len(found) != 1:
        return ""
    (only,) = found
    choices: tuple[Any, ...] = get_args(only) if get_origin(only) is Literal else ()
    if isinstance(only, type) and issubclass(only, Enum):
        choices = tuple(item.value for item in only)
    if choices:
        return "in " + " ".join(map(str, choices))
    names: Mapping[Any, str] = {int: "whole", float: "float", bool: "bool", str: "text"}
    return names.get(only, "")
