"""The adapter: where each of torchtitan's rules is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from compiler.checks import Check
from compiler.frameworks.adapter import Adapter, Empty
from compiler.frameworks.emission import Emission
from compiler.frameworks.needs import Need
from compiler.frameworks.told import Said
from compiler.frameworks.torchtitan import arguments, emit, layout, needs, rules, stages
from compiler.frameworks.torchtitan.arguments import replicas
from compiler.layout.grid import Grid, GroupKind
from compiler.specs.config import Config
from compiler.world import World


class Torchtitan(Adapter):
    """Rules of torchtitan 0.3. Its gradients are FP32, as are its optimizer's states; it picks what to recompute by operations."""

    hears = ()

    def needs(self, config: Config) -> Iterable[Need]:
        return needs.needs(config)

    def told(self, config: Config) -> Config:
        return arguments.told(config)

    empty_stages = Empty.ENDS

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        return layout.grids(config)

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return {**super().kinds(config, attention, expert), **layout.own_kinds(config)}

    def said_stages(self, config: Config) -> Sequence[int] | None:
        return stages.said(config)

    def interleaved_group(self, config: Config) -> int:
        """As many rounds as pp goes into the micro-batches, of equal size (torch.distributed.pipelining ScheduleInterleaved1F1B)."""
        workload, degrees = config.workload, config.degrees
        count = workload.global_batch_size // (degrees.adp * workload.micro_batch_size)
        return max(count // max(1, count // degrees.pp), 1)

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        return stages.uneven(config, parts)

    def padded_vocab_size(self, config: Config) -> int:
        """DTensor shards rows unevenly rather than adding some."""
        return config.model.vocab_size

    def written(self, config: Config) -> Iterable[Said]:
        return arguments.written(config)

    def registered(self, config: Config) -> bool:
        """A configuration of the user's own may have further sections."""
        return "--config" not in arguments.given(config)

    def copies(self, config: Config) -> int:
        return replicas(config)

    def declared(self, config: Config) -> Iterator[Check]:
        yield from rules.declared(config)

    def emission(self, world: World) -> Emission:
        return emit.emission(world)
