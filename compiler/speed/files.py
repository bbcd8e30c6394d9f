"""Calibration files: their text -> what it holds."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from compiler.inputs import yaml_mapping
from compiler.render.assets import folder

FOLDER = folder("conf") / "calibration"

WRITE = "write the file with python -m compiler.calibrate"


@cache
def load(name: str) -> dict[str, Any]:
    """A file of `conf/calibration`, empty where there is none; what has a line break is a file's text itself."""
    path = FOLDER / f"{name}.yaml"
    if "\n" not in name and not path.is_file():
        return {}
    text = name if "\n" in name else path.read_text(encoding="utf-8")
    return yaml_mapping.read("hardware.calibration", text)


def spec(kind: Any, values: dict[str, Any]) -> Any:
    """A curve from its constants; errors and rows in the file are for people."""
    known = {key: value for key, value in values.items() if key in kind.__dataclass_fields__}
    return kind(**{key: _number(key, value) for key, value in known.items()})


def _number(key: str, value: Any) -> Any:
    """A constant, or a tuple of them, as their rules judge them. Raises TypeError for none."""
    if isinstance(value, list):
        return tuple(_number(key, entry) for entry in value)
    if value is None:
        raise TypeError(f"{key} has no value")
    if isinstance(value, str) and re.fullmatch(r"[0-9]+e[-+]?[0-9]{1,3}", value):
        return float(value)  # YAML 1.1 reads 1e-5, which has no point, as a text
    return value
