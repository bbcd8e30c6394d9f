"""The map of experts in a plan folder, where its server was started with one: the expert in each slot of each layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from compiler.commands.folder import AGAIN, MOST_BYTES, PlanFolder
from compiler.errors import ConfigError
from compiler.expert_map import SCHEMA
from compiler.inputs import json_object
from compiler.inputs.file import text as text_of
from compiler.layout.grid import Ranks

FILE = "experts.json"


def expert_slots(plan: PlanFolder) -> dict[int, Ranks]:
    """Layer -> experts, shape [slots], those of an expert-parallel rank after the other's; empty where layers are alike.

    Raises ConfigError for a map that is not of this plan.
    """
    if not plan.experts.by_layer:
        return {}
    path = plan.path / FILE
    found = json_object.read(str(path), text_of(str(path), path, AGAIN, MOST_BYTES), AGAIN)
    try:
        rows = {int(row["layer"]): _row(row["experts"], len(plan.experts.blocks)) for row in found["layers"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError.of(f"{path} is no map of experts: {type(error).__name__} {error}", AGAIN) from error
    if found.get("schema") != SCHEMA:
        raise ConfigError.of(f"{path} has schema {found.get('schema')}, this program reads {SCHEMA}", AGAIN)
    return rows


def _row(ids: Any, gpus: int) -> Ranks:
    found = np.array(ids, dtype=np.int64)
    if found.ndim != 1 or not len(found) or len(found) % gpus or found.min() < 0:
        raise ValueError(f"{np.size(found)} slots on {gpus} GPUs")
    return found
