"""What a configuration leaves open: the spaces of degrees of each framework, of servers together and apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from compiler.errors import InvariantError
from compiler.fixes.change import key
from compiler.fixes.pasted import changed
from compiler.searches import vary
from compiler.searches.refusals import refuse
from compiler.searches.space import Space
from compiler.searches.watched import DEGREES
from compiler.specs.config import Config
from compiler.specs.degrees import Parallel
from compiler.specs.workload import ROLES

Load = Callable[[Sequence[str]], Config]
"""Overrides -> the configuration that they make."""

POOLS = tuple(f"workload.pools.{role}.instances=1" for role in ROLES)
"""What is loaded with the user's own overrides for a configuration of pools."""


def spaces(config: Config, given: Sequence[str], load: Load) -> Iterator[Space]:
    """All that are compared; `given` are the overrides that were written. Raises ConfigError, what is bad in itself first, and
    InvariantError.
    """
    each = list(_frameworks(config, given, load))
    for own, _ in each:
        vary.varied(own, ())
    refuse(config, given)
    for own, overrides in each:
        space = opened(own, given)
        if config.search.pools != "apart":
            yield space
        if config.search.pools != "together":
            pooled = load([*overrides, *POOLS])
            one = replace(pooled, name="plan", parallel=space.config.parallel, search=own.search)
            yield replace(space, config=one)


def _frameworks(config: Config, given: Sequence[str], load: Load) -> Iterator[tuple[Config, list[str]]]:
    """Of each framework its configuration, which knows of the others, and the overrides that make it."""
    names = dict.fromkeys(config.search.frameworks)
    if not names:
        yield config, list(given)
    kept = [item for item in given if key(item) not in ("framework", "search.frameworks")]
    for name in names:
        own = [*kept, f"framework={name}"]
        yield replace(load(own), search=config.search), own


def word(space: Space) -> str:
    """What tells a space from the others."""
    pooled = space.config.workload.pools is not None
    return f"framework={space.config.framework.name} search.pools={'apart' if pooled else 'together'}"


def again(given: Sequence[str], load: Load, space: Space, overrides: Sequence[str], out: Sequence[str]) -> Space:
    """What other overrides leave open of a space, without some keys. Raises ConfigError and InvariantError."""
    own = changed([item for item in given if key(item) not in out], tuple(overrides))
    return min(spaces(load(own), own, load), key=lambda one: word(one) != word(space))


def opened(config: Config, given: Sequence[str]) -> Space:
    """The space that a configuration leaves open. Raises ConfigError and InvariantError."""
    written = {key(item) for item in given}
    parallel, usual = config.parallel, Parallel()
    fixed = {
        name: value
        for name in (*DEGREES, "dp")
        if (value := getattr(parallel, name)) is not None
        and (f"parallel.{name}" in written or value != getattr(usual, name))
    }
    if "framework.instances" in written:
        fixed["instances"] = config.framework.instances
    gpus = min(config.search.gpus or config.hardware.gpus, config.hardware.gpus)
    base = replace(config, name="plan", parallel=replace(parallel, dp=None, adp=None))
    if config.workload.train:
        node = config.hardware.node.gpus
        if gpus % node:
            raise InvariantError.of(
                f"search.gpus={gpus}: a training plan fills its nodes of {node} GPUs",
                f"write search.gpus={max(gpus // node, 1) * node}",
            )
    return Space(base, fixed, vary.varied(config, written | {f"parallel.{name}" for name in fixed}), gpus)
