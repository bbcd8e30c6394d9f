"""How SGLang orders ranks and groups, and deals out layers and experts (`distributed/parallel_state.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.expert_map import ExpertMap
from compiler.frameworks import known, quantized
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.host_weights import host_bytes
from compiler.frameworks.options import number
from compiler.frameworks.served_told import told
from compiler.frameworks.serving import slots, stage_width
from compiler.frameworks.sglang.arguments import CACHES, CHUNKS, given, graph_batch
from compiler.frameworks.sglang.caches import cached, rows
from compiler.frameworks.told import Said
from compiler.frameworks.transfers import Facing
from compiler.layout.experts import ExpertBlocks
from compiler.layout.grid import Grid, GroupKind, row_major
from compiler.layout.stages import Stages
from compiler.layout.traits import LEAST, Cached, Room, Traits
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config
from compiler.world import World

VOCABULARY_ROWS = 64
"""The embedding is padded to a multiple of this."""


ROOM = Room(option="--mem-fraction-static", share=0.82, of_all=True, answered=0.5, least=LEAST)
"""mem_fraction_static, of weights and cache alone, as published scripts set it and about what SGLang's own rule comes to. Blocks are
taken as an answer grows, so that answers are half way on average."""


class SglangAdapter(Adapter):
    """SGLang's rules. Its `--tp-size` is the width of a whole stage, tp*cp*adp here; the group of it is `sglang.tp`."""

    abbreviates = True
    serves = True
    varies = ("tp", "cp", "adp")

    def told(self, config: Config) -> Config:
        return cached(told(config, CHUNKS, CACHES))

    def written(self, config: Config) -> Iterable[Said]:
        return known.written(config)

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        """tp_rank = (attn_dp*ATTN_CP + attn_cp)*ATTN_TP + attn_tp = (moe_dp*EP + moe_ep)*MOE_TP + moe_tp; pp is slowest."""
        degrees = config.degrees
        return (
            row_major([("tp", degrees.tp), ("cp", degrees.cp), ("dp", degrees.adp), ("pp", degrees.pp)]),
            row_major([("etp", degrees.etp), ("ep", degrees.ep), ("edp", degrees.edp), ("pp", degrees.pp)]),
        )

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        """The plan's own, which SGLang enumerates alike, and those of its own that are on no axis of the plan."""
        degrees, args, world = config.degrees, given(config), attention.world_size
        width, pp = stage_width(degrees), degrees.pp
        stages, singles = attention.kind(("tp", "cp", "dp")), GroupKind((), ((world, 1),))
        own = {"world": GroupKind(((world, 1),), ()), "tp": stages, "self_pp": singles}
        if config.model.moe:
            own["moe_dp"] = attention.kind(("cp",)) if degrees.cp > degrees.edp else expert.kind(("edp",))
        else:  # built all the same
            own |= {"moe_tp": stages, "moe_ep": singles, "moe_dp": attention.kind(("cp",))}
        dcp = number(args, "--dcp-size", 1)
        if 1 < dcp <= width and width % dcp == 0:
            own["dcp"] = GroupKind(((dcp, 1),), ((width // dcp, dcp), (pp, width)))
        shared = number(args, "--shared-experts-tp-size", 1)
        if 1 < shared <= degrees.tp and degrees.tp % shared == 0:
            own["shared_experts_tp"] = GroupKind(((shared, 1),), ((world // shared, shared),))
        return {
            **super().kinds(config, attention, expert),
            **{f"sglang.{name}": kind for name, kind in own.items()},
        }

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        """The last stages take one layer more (`distributed/utils.py get_pp_indices`)."""
        base, extra = divmod(config.model.num_hidden_layers, parts)
        return [base + (part >= parts - extra) for part in range(parts)]

    def experts(self, config: Config, stages: Stages) -> ExpertBlocks:
        """The trivial location: slot i holds expert i % num_experts (`eplb/expert_location.py`)."""
        if not config.model.moe:
            return super().experts(config, stages)
        return slots(config, self.redundant_experts(config), stages)

    def redundant_experts(self, config: Config) -> int:
        return max(number(given(config), "--ep-num-redundant-experts", 0), 0)

    def padded_vocab_size(self, config: Config) -> int:
        """Rows in multiples of 64, or of 64 for each rank of the stage (`layers/vocab_parallel_embedding.py`)."""
        rows, width = VOCABULARY_ROWS, stage_width(config.degrees)
        padded = -(-config.model.vocab_size // rows) * rows
        rows = rows if padded % width == 0 else rows * width
        return -(-config.model.vocab_size // rows) * rows

    def traits(self, config: Config) -> Traits:
        args, room = given(config), ROOM.asked(config.framework.args)
        looks = max(number(args, "--scheduler-recv-interval", 1), 1)
        return replace(super().traits(config), room=room, interval=looks, host_bytes=host_bytes(args))

    def declared(self, config: Config) -> Iterator[Check]:
        from compiler.frameworks.sglang.rules import rules

        yield from rules(config)

    def facing(self, config: Config) -> Facing:
        from compiler.frameworks.sglang.pool_rules import facing

        return facing(config)

    def between(self, prefill: Facing, decode: Facing) -> Iterator[Check]:
        from compiler.frameworks.sglang.pool_rules import rules

        yield from rules(prefill, decode)

    def graph_batch(self, config: Config) -> int | None:
        return graph_batch(config)

    def cached(self, config: Config) -> Cached:
        return rows(config)

    def running(self, config: Config, sequences: int) -> Iterator[Check]:
        from compiler.frameworks.sglang.pass_rules import running

        yield from running(config, sequences)

    def widens(self, config: Config, precision: str) -> bool:
        return quantized.widens(config, precision)

    def takes_map(self, config: Config) -> bool:
        """Unless it is asked for the placement that it has by itself."""
        return config.framework.expert_layout is None

    def located(self, world: World, experts: ExpertMap) -> Iterator[Artifact]:
        from compiler.frameworks.sglang.emit import map_file

        yield map_file(world, experts)

    def emission(self, world: World) -> Emission:
        from compiler.frameworks.sglang.emit import emission

        return emission(world)
