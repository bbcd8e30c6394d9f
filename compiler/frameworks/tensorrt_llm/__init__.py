"""TensorRT-LLM: servers whose stages are one block of ranks, cut for attention and, otherwise, for experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.expert_map import ExpertMap
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.tensorrt_llm import emit, file_args, layout, rules
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid, GroupKind
from compiler.layout.stages import Stages
from compiler.layout.traits import Room, Traits
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config
from compiler.world import World

ROOM = Room(option="--kv-cache-free-gpu-memory-fraction", key=".kv_cache_config.free_gpu_memory_fraction", share=0.9)
"""free_gpu_memory_fraction, of what weights and activations leave; a request is let in where all its answer fits."""


class TensorRtLlm(Adapter):
    """Experts are dealt out contiguously and the vocabulary is padded to tp, as in the plan's own rules."""

    serves = True

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        return layout.grids(config) or super().grids(config)

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        return {**super().kinds(config, attention, expert), **layout.kinds(config, attention, expert)}

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        return layout.stages(config.model.num_hidden_layers, parts)

    def experts(self, config: Config, stages: Stages) -> ExpertBlocks:
        found = super().experts(config, stages)
        extra = self.redundant_experts(config)
        return layout.slots(config, extra, stages) if extra and config.model.moe else found

    def redundant_experts(self, config: Config) -> int:
        return file_args.redundant_experts(config)

    def graph_batch(self, config: Config) -> int | None:
        return file_args.graph_batch(config)

    def combine_bytes(self, config: Config) -> float | None:
        return file_args.combine_bytes(config)

    def traits(self, config: Config) -> Traits:
        return replace(super().traits(config), room=ROOM.asked(config.framework.args))

    def declared(self, config: Config) -> Iterator[Check]:
        yield from rules.declared(config)

    def laid_out(self, world: World) -> Iterator[Check]:
        yield from rules.laid_out(world)

    def takes_map(self, config: Config) -> bool:
        """Its load balancer does nothing without attention DP (NVIDIA/TensorRT-LLM#18626); a file of the user's own may hold one."""
        return config.degrees.adp > 1 and file_args.file(config) is None

    def located(self, world: World, experts: ExpertMap) -> Iterator[Artifact]:
        """What `moe_config.load_balancer` may name."""
        found = emit.load_balancer(experts)
        rows = found.pop("initial_global_assignments").items()
        lines = [f"{key}: {value}" for key, value in found.items()]
        lines += ["initial_global_assignments:", *(f"  {layer}: {row}" for layer, row in rows)]
        yield Artifact("framework/moe_load_balancer.yaml", "\n".join(lines) + "\n")

    def emission(self, world: World) -> Emission:
        return emit.emission(world)


ADAPTER = TensorRtLlm()
