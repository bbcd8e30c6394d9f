"""Rules that values must keep together. Every module here is found and every rule run; none knows the others.

A rule is a generator of Checks, registered with the decorator of the moment it can run at, and with the id of its checks:
`declared` (configuration and degrees), `laid_out` (a World), `costed` (a World and its Costs).
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check
from compiler.costs.total import Costs
from compiler.invariants import registry, world_size
from compiler.specs.config import Config
from compiler.specs.limits import RANKS
from compiler.world import World

BLOCKING = frozenset({"world-size", "expert-grid", "layers-to-stages"})
"""Declared checks without which no rank is laid out; every other declared rule is run whatever fails."""


def declared(config: Config) -> Iterator[Check]:
    """Rules that need the configuration alone; of a world beyond all bounds its size alone, since others may count its ranks."""
    return world_size.gpus(config) if config.ranks > RANKS else registry.declared.run(config)


def laid_out(world: World) -> Iterator[Check]:
    """Rules about ranks, groups and where they sit."""
    return registry.laid_out.run(world)


def costed(world: World, costs: Costs) -> Iterator[Check]:
    """Rules about memory, parameters and time."""
    return registry.costed.run(world, costs)
