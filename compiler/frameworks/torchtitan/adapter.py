"""The adapter: where each of torchtitan's rules is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compiler.checks import Check
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.torchtitan import emit, layout, rules, stages
from compiler.frameworks.torchtitan.arguments import replicas
from compiler.layout.grid import Grid, GroupKind
from compiler.specs.config import Config
from compiler.world import World


class Torchtitan(Adapter):
    """Rules of torchtitan 0.3."""

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        return layout.grids(config)

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return {**super().kinds(config, attention, expert), **layout.own_kinds(config)}

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        return stages.uneven(config, parts)

    def padded_vocab_size(self, config: Config) -> int:
        """DTensor shards rows unevenly rather than adding some."""
        return config.model.vocab_size

    def copies(self, config: Config) -> int:
        return replicas(config)

    def declared(self, config: Config) -> Iterator[Check]:
        yield from rules.declared(config)

    def emission(self, world: World) -> Emission:
        return emit.emission(world)
