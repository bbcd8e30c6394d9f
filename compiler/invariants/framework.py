"""The chosen framework's own rules."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check
from compiler.frameworks.adapter import adapter
from compiler.invariants.registry import declared, laid_out
from compiler.specs.config import Config
from compiler.world import World


@declared
def of_the_configuration(config: Config) -> Iterator[Check]:
    """What the framework says of degrees, model and workload."""
    yield from adapter(config.framework.name).declared(config)


@laid_out
def of_the_ranks(world: World) -> Iterator[Check]:
    """What the framework says of ranks and where they sit."""
    yield from adapter(world.config.framework.name).laid_out(world)
