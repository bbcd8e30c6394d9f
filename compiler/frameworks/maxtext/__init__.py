"""MaxText: one mesh of JAX devices, of which expert parallelism is an axis of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from compiler.checks import Check
from compiler.frameworks import told
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.maxtext import emit, host, layout, needs, rules
from compiler.frameworks.needs import Need
from compiler.frameworks.told import Said
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.world import World


class MaxText(Adapter):
    """Layers that don't divide are refused (it has no rule for them), and experts are dealt out contiguously."""

    hears = ("states.gradients", "states.exp_avg")
    varies = ("tp", "cp", "ep", "adp")

    def needs(self, config: Config) -> Iterable[Need]:
        return needs.needs(config)

    def told(self, config: Config) -> Config:
        return told.read(config, host.KEYS, told.words(config.framework.args, starts=bool))

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        return layout.grids(config) or super().grids(config)

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return {**super().kinds(config, attention, expert), **layout.kinds(config)}

    def padded_vocab_size(self, config: Config) -> int:
        return config.model.vocab_size

    def written(self, config: Config) -> Iterable[Said]:
        return [item for item in told.words(config.framework.args, starts=bool) if item.values]

    def copies(self, config: Config) -> int:
        found = layout.replicas(config)
        return found.get("data", 1) if found.get("fsdp", 1) > 1 else 1

    def traits(self, config: Config) -> Traits:
        """FP8 layers keep what they read as it was given, and quantise it once more for the gradient."""
        return replace(super().traits(config), narrow_inputs=False)

    def declared(self, config: Config) -> Iterator[Check]:
        yield from rules.declared(config)

    def emission(self, world: World) -> Emission:
        return emit.emission(world)


ADAPTER = MaxText()
