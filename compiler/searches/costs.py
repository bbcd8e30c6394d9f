"""What the plans of a space cost, by the functions that cost one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.many import Many
from compiler.searches.plans import Index, Plans
from compiler.searches.space import STAGES, Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config

BATCHES = ("workload.micro_batch_size", "workload.global_batch_size")
"""Keys that costs take arrays of."""


def placed(node: Any, key: str, value: Any) -> Any:
    """A frozen value with another one at a dotted key."""
    name, _, rest = key.partition(".")
    return replace(node, **{name: placed(getattr(node, name), rest, value) if rest else value})


def alike(space: Space, plans: Plans) -> Iterator[tuple[Index, Config, Many]]:
    """Plans that differ in degrees alone and have the same stages, with their configuration and their degrees."""
    batches = [key for key in BATCHES if key in plans.chosen]
    keys = [key for key, _ in space.varied() if key in plans.chosen and key not in batches]
    sizes = {
        key.rpartition(".")[2]: np.array(plans.values[key], dtype=np.float64)[plans.chosen[key]] for key in batches
    }
    for index in plans.kinds(np.arange(len(plans)), [*keys, "pp", "vpp", STAGES]) if len(plans) else ():
        config = space.config
        for key in keys:
            config = placed(config, key, plans.value(key, int(index[0])))
        config = replace(config, parallel=replace(config.parallel, stages=space.stages(plans, int(index[0]))))
        own = {name: values[index] for name, values in sizes.items()}
        degrees = {name: plans.chosen[name][index].astype(np.float64) for name in DEGREES}
        yield index, config, Many(**degrees, batches=own)


def every(
    space: Space,
    plans: Plans,
    costs: Callable[[Config, Many], Mapping[str, Array]],
    tell: Callable[[float], None] = lambda _part: None,
) -> dict[str, Array]:
    """Costs of all, nan where there are none; `tell` hears what part of them is done."""
    found, done = dict[str, Array](), 0
    for index, config, many in alike(space, plans):
        done += len(index)
        tell(done / len(plans))
        for name, values in costs(config, many).items():
            found.setdefault(name, np.full(len(plans), np.nan))[index] = values
    return found
