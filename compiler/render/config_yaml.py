"""The frozen Config -> `config.yaml`, which compiles to the same bytes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from compiler.render.yaml import document
from compiler.specs.config import Config
from compiler.specs.newer import said

HEADER = "defaults: [rankplan_schema, _self_]\n"
LEFT_OUT = ("out", "search", "sweep")
"""Where the folder is written, and how its degrees were found, is not part of what is in it."""


def dump(config: Config) -> str:
    """YAML text of every resolved value; `${` in a value is escaped, so that it is read back as it is."""
    values = dataclasses.asdict(config)
    values |= {key: said(values[key]) for key in ("model", "experts")}
    kept = {key: _escaped(value) for key, value in values.items() if key not in LEFT_OUT}
    return HEADER + document(kept)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_escaped(entry) for entry in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value
