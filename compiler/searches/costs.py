"""What the plans of a space cost, by the functions that cost one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compiler.costs.arrays import Array
from compiler.costs.many import Many
from compiler.costs.project import layers_of
from compiler.searches.plans import Index, Plans
from compiler.searches.space import STAGES, Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config

BATCHES = ("workload.micro_batch_size", "workload.global_batch_size")
"""Keys that costs take arrays of."""


LAYERS = "layers"
"""Key of what the ranks of a pipeline hold."""


def placed(node: Any, key: str, value: Any) -> Any:
    """A frozen value with another one at a dotted key."""
    name, _, rest = key.partition(".")
    return replace(node, **{name: placed(getattr(node, name), rest, value) if rest else value})


def merged(space: Space, plans: Plans) -> Iterator[tuple[Index, Config, Many]]:
    """The same with plans together whose pipeline ranks hold the same layers, however many virtual stages these are; the configuration is
    that of the first.
    """
    numbers, known = np.zeros(len(plans), dtype=np.int32), dict[tuple[Any, ...], int]()
    for index in plans.kinds(np.arange(len(plans)), ["pp", "vpp", STAGES]) if len(plans) else ():
        at = int(index[0])
        chosen = {"pp": plans.value("pp", at), "vpp": plans.value("vpp", at), "stages": space.stages(plans, at)}
        config = replace(space.config, parallel=replace(space.config.parallel, **chosen))
        numbers[index] = known.setdefault(layers_of(config), len(known))
    yield from alike(space, replace(plans, chosen={**plans.chosen, LAYERS: numbers}), (LAYERS,))


def alike(space: Space, plans: Plans, stages: Sequence[str] = ()) -> Iterator[tuple[Index, Config, Many]]:
    """Plans that differ in degrees alone and have the same stages, with their configuration and their degrees."""
    batches = [key for key in BATCHES if key in plans.chosen]
    keys = [key for key, _ in space.varied() if key in plans.chosen and key not in batches]
    sizes = {
        key.rpartition(".")[2]: np.array(plans.values[key], dtype=np.float64)[plans.chosen[key]] for key in batches
    }
    for index in plans.kinds(np.arange(len(plans)), [*keys, *(stages or ("pp", "vpp", STAGES))]) if len(plans) else ():
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
    groups: Callable[[Space, Plans], Iterator[tuple[Index, Config, Many]]] = alike,
) -> dict[str, Array]:
    """Costs of all, nan where there are none; `tell` hears what part of them is done."""
    found, done = dict[str, Array](), 0
    for index, config, many in groups(space, plans):
        done += len(index)
        tell(done / len(plans))
        for name, values in costs(config, many).items():
            found.setdefault(name, np.full(len(plans), np.nan))[index] = values
    return found
