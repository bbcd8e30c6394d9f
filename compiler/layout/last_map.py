"""The map of experts that a server has now: an `experts.json` of an earlier plan, in which a new map moves as little as it can."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np

from compiler.errors import ConfigError
from compiler.layout.grid import Ranks

INSTEAD = "name the experts.json of a plan with the same layers, slots and expert-parallel ranks, or leave it out"


def _counted(layers: int, *slots: int) -> str:
    return f"{layers} layers of {' x '.join(map(str, slots)) or 'no'} slots"


@lru_cache(maxsize=4)
def read(text: str, layers: tuple[int, ...], slots: int, gpus: int) -> Ranks:
    """The expert in each slot, shape [layers, slots]. Raises ConfigError for what is no map, or one of another shape."""
    try:
        found = json.loads(text)
        rows = {int(row["layer"]): row["experts"] for row in found["layers"]}
        experts = np.array([rows[layer] for layer in layers])
        shape = (experts.shape, int(found["gpus"]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        what = f"experts.last is no experts.json with gpus and the layers {layers[0]} to {layers[-1]}, each with as many experts"
        raise ConfigError.of(what, INSTEAD) from error
    if shape != ((len(layers), slots), gpus):
        raise ConfigError.of(
            f"experts.last is of {shape[1]} ranks and has {_counted(*shape[0])}, the plan has {gpus} and {_counted(len(layers), slots)}",
            INSTEAD,
        )
    if experts.dtype.kind != "i" or experts.min() < 0 or experts.max() >= slots:
        raise ConfigError.of(f"experts.last has experts that are none of 0 to {slots - 1}", INSTEAD)
    return experts.astype(np.int64)
