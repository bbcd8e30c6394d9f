"""Measured loads of experts: a CSV with the header `layer,expert,load` and whatever else, a line for each expert of each layer.

`load` is how many tokens the expert got, in any unit. Layers are ids of the model's layers; those that are not listed count as
the mean of those that are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from compiler.errors import ConfigError
from compiler.inputs import table

REQUIRED = ("layer", "expert", "load")

Loads = Mapping[int, NDArray[np.float64]]
"""Layer -> load of each expert, shape [experts], a mean of 1."""


@lru_cache(maxsize=4)
def read(text: str) -> Loads:
    """Parse a table, which nobody can change. Raises ConfigError with the line that is wrong."""
    _, rows = table.read("experts.load", text, REQUIRED)
    found: dict[int, dict[int, float]] = {}
    for number, row in rows:
        layer, expert, load = _numbers(number, row)
        if expert in found.setdefault(layer, {}):
            raise ConfigError.of(
                f"experts.load line {number}: expert {expert} of layer {layer} is listed twice", "list it once"
            )
        found[layer][expert] = load
    if not found:
        raise ConfigError.of("experts.load has no rows", "list every expert of a layer")
    return MappingProxyType({layer: _row(layer, loads) for layer, loads in sorted(found.items())})


def _numbers(number: int, row: Mapping[str, str]) -> tuple[int, int, float]:
    try:
        layer, expert, load = int(row["layer"]), int(row["expert"]), float(row["load"])
    except ValueError:
        layer, expert, load = -1, -1, -1.0
    if min(layer, expert) < 0 or load < 0 or not math.isfinite(load):
        raise ConfigError.of(
            f"experts.load line {number} is no layer, expert and load: {','.join(row[key] for key in REQUIRED)}",
            "write two ids and a number of tokens",
        )
    return layer, expert, load


def _row(layer: int, loads: Mapping[int, float]) -> NDArray[np.float64]:
    """Loads by expert id. Raises ConfigError where ids have gaps, or nothing was routed."""
    if sorted(loads) != list(range(len(loads))):
        raise ConfigError.of(
            f"experts.load lists {len(loads)} experts of layer {layer}, up to id {max(loads)}",
            "list every expert, from 0",
        )
    values = np.array([loads[expert] for expert in range(len(loads))])
    if not values.any():
        raise ConfigError.of(f"experts.load: no expert of layer {layer} got a token", "leave the layer out")
    even = values / values.max()  # sums of the largest numbers, and means of the smallest, are none
    row = np.asarray(even / even.mean())
    row.setflags(write=False)
    return row
