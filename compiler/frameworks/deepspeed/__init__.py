"""DeepSpeed: pipe x data x model grids with the model axis fastest, and six ways to lay experts over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.frameworks import told
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.deepspeed import json_args
from compiler.frameworks.deepspeed.emit import emission, precision, zero_stage
from compiler.frameworks.deepspeed.layout import attention_grid, expert_grid, group_kinds, uniform
from compiler.frameworks.deepspeed.rules import declared
from compiler.frameworks.emission import Emission
from compiler.frameworks.told import Said
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.traits import Traits
from compiler.specs.config import Config
from compiler.world import World


class DeepSpeed(Adapter):
    """Experts follow `framework.expert_layout`, one of layout.LAYOUTS."""

    hears = ("states.gradients",)

    def told(self, config: Config) -> Config:
        return _as_weights(told.read(config, json_args.KEYS, told.words(config.framework.args)))

    def written(self, config: Config) -> Iterable[Said]:
        """Keys of its JSON; what else there is, the user's program reads."""
        return json_args.written(config)

    def registered(self, config: Config) -> bool:
        """Whoever starts it, DeepSpeed reads the JSON."""
        return True

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        """PipeModelDataParallelTopology's ranks. A plan that is refused gets the plan's own expert grid."""
        return attention_grid(config.degrees), expert_grid(config) or super().grids(config)[1]

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return group_kinds(config, attention, expert)

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        return uniform(config.model.num_hidden_layers, parts)

    def traits(self, config: Config) -> Traits:
        """Its layers keep what they read as it was given, and its loss passes over the logits in steps of its own."""
        return replace(super().traits(config), narrow_inputs=False, fused_loss=False)

    def declared(self, config: Config) -> Iterator[Check]:
        yield from declared(config, super().grids(config))

    def emission(self, world: World) -> Emission:
        return emission(world)


def _as_weights(config: Config) -> Config:
    """Without ZeRO gradients are as wide as weights, and another type is an error (runtime/engine.py, _do_optimizer_sanity_check)."""
    workload = config.workload
    if not workload.train or not precision(config) or zero_stage(config):
        return config
    return replace(config, workload=replace(workload, states=replace(workload.states, gradients="bf16")))


ADAPTER = DeepSpeed()
