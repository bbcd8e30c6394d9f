"""How vLLM orders ranks and groups, and deals out layers and experts (`distributed/parallel_state.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.checks import Check
from compiler.frameworks import quantized
from compiler.frameworks.adapter import Adapter
from compiler.frameworks.emission import Emission
from compiler.frameworks.host_weights import host_bytes
from compiler.frameworks.served_told import told
from compiler.frameworks.serving import slots
from compiler.frameworks.told import Said
from compiler.frameworks.transfers import Facing
from compiler.frameworks.vllm.arguments import (
    CACHES,
    CHUNKS,
    WHOLE,
    chunked,
    decode_context,
    expert_parallel,
    expressible,
    given,
    graph_batch,
    redundant,
)
from compiler.frameworks.vllm.written import written
from compiler.layout.experts import ExpertBlocks, placed
from compiler.layout.grid import Axis, Grid, GroupKind, row_major
from compiler.layout.stages import Stages
from compiler.layout.traits import LEAST, Cached, Room, Traits
from compiler.specs.config import Config
from compiler.world import World

VOCABULARY_ROWS = 64
"""The embedding is padded to a multiple of this."""

ROUND_ROBIN_BACKENDS = ("deepep_low_latency", "nixl_ep")
"""All-to-all back ends that have routing tables for a round-robin placement."""


ROOM = Room(option="--gpu-memory-utilization", share=0.92, of_all=True, with_other=True, answered=0.5, least=LEAST)
"""gpu_memory_utilization (`config/cache.py`), which has to do for activations too. Blocks are taken as an answer grows, so that answers
are half way on average."""


class VllmAdapter(Adapter):
    """vLLM's rules: rank = ((dp*PP + pp)*PCP + pcp)*TP + tp, and one instance is one external DP rank."""

    serves = True
    varies = ("tp", "ep", "adp")

    def told(self, config: Config) -> Config:
        read = told(config, CHUNKS, CACHES, whole=WHOLE, cut="--enable-chunked-prefill")
        return read if config.workload.pools is not None else self.alone(read)

    def alone(self, config: Config) -> Config:
        return chunked(config)

    def written(self, config: Config) -> Iterable[Said]:
        return written(config)

    def grids(self, config: Config) -> tuple[Grid, Grid]:
        """The flattened tp, cp and dp are ep with expert parallelism, and etp without; neither is contiguous with pp > 1.

        Degrees that vLLM cannot express, which its rules refuse, keep the plan's own grids.
        """
        degrees = config.degrees
        if config.model.moe and not expressible(degrees):
            return super().grids(config)
        attention = row_major([("tp", degrees.tp), ("cp", degrees.cp), ("pp", degrees.pp), ("dp", degrees.adp)])
        flat, single = ("ep", "etp") if expert_parallel(config) else ("etp", "ep")
        runs = [Axis("pp" if axis.axis == "pp" else flat, axis.size, axis.stride) for axis in attention.axes]
        rest = [Axis(single, 1, attention.world_size), Axis("edp", 1, attention.world_size)]
        return attention, Grid((*runs, *rest))

    def kinds(self, config: Config, attention: Grid, expert: Grid) -> Mapping[str, GroupKind]:
        """The plan's own, in vLLM's order of groups, and vLLM's that are on no axis of the plan.

        vLLM swaps an axis with the last one, tp, and cuts: tp then counts groups where the axis stood.
        """
        found = {
            **super().kinds(config, attention, expert),
            "cp": attention.kind(("cp",), ("tp", "pp", "dp")),
            "pp": attention.kind(("pp",), ("cp", "tp", "dp")),
            "dp": attention.kind(("dp",), ("cp", "pp", "tp")),
        }
        own = {"world": GroupKind(((attention.world_size, 1),), ()), "dcp": _dcp(config)}
        if config.model.moe:
            own["ep"] = attention.kind(("tp", "cp", "dp"))
            if "--enable-eplb" in given(config):
                own["eplb"] = own["ep"]
        return {**found, **{f"vllm.{name}": kind for name, kind in own.items()}}

    def uneven_stages(self, config: Config, parts: int) -> Sequence[int] | None:
        """One layer more for the last stage but one, and so on backwards (`distributed/utils.py get_pp_indices`)."""
        base, extra = divmod(config.model.num_hidden_layers, parts)
        return [base + (parts - 1 - extra <= part < parts - 1) for part in range(parts)]

    def experts(self, config: Config, stages: Stages) -> ExpertBlocks:
        """Linear, round robin, or slots of EPLB (`fused_moe/expert_map_manager.py`, `eplb_state.py`)."""
        model, ep = config.model, config.degrees.ep
        if model.moe and round_robin(config):
            ids = (range(rank, model.num_experts, ep) for rank in range(ep))
            return placed(ids, model.moe_layers, stages)
        if model.moe and "--enable-eplb" in given(config):
            return slots(config, redundant(config), stages)
        return super().experts(config, stages)

    def uneven_experts(self, config: Config) -> bool:
        """The first ranks hold one more (`fused_moe/expert_map_manager.py`), where tokens are gathered whole; DeepEP's and other
        kernels count on equal shares, and so do slots of EPLB.
        """
        args = given(config)
        whole = args.get("--all2all-backend", "allgather_reducescatter") in ("allgather_reducescatter", "naive")
        return whole and not config.workload.train and "--enable-eplb" not in args

    def graph_batch(self, config: Config) -> int:
        return graph_batch(config)

    def cached(self, config: Config) -> Cached:
        from compiler.frameworks.vllm.cache import cached

        return cached(config)

    def redundant_experts(self, config: Config) -> int:
        return max(redundant(config), 0)

    def padded_vocab_size(self, config: Config) -> int:
        """Rows in multiples of 64 (`layers/vocab_parallel_embedding.py`); tp must divide them."""
        return -(-config.model.vocab_size // VOCABULARY_ROWS) * VOCABULARY_ROWS

    def traits(self, config: Config) -> Traits:
        room = ROOM.asked(config.framework.args)
        return replace(super().traits(config), room=room, host_bytes=host_bytes(given(config)))

    def declared(self, config: Config) -> Iterator[Check]:
        from compiler.frameworks.vllm.rules import rules

        yield from rules(config)

    def facing(self, config: Config) -> Facing:
        from compiler.frameworks.vllm.pool_rules import facing

        return facing(config)

    def between(self, prefill: Facing, decode: Facing) -> Iterator[Check]:
        from compiler.frameworks.vllm.pool_rules import rules

        yield from rules(prefill, decode)

    def widens(self, config: Config, precision: str) -> bool:
        return quantized.widens(config, precision)

    def emission(self, world: World) -> Emission:
        from compiler.frameworks.vllm.emit import emission

        return emission(world)


def _dcp(config: Config) -> GroupKind:
    """Cuts of the tp ranks; with cp, of the cp ranks first and then tp, an order that is not ascending."""
    degrees, dcp = config.degrees, decode_context(config)
    tp, cp, replica = degrees.tp, degrees.cp, degrees.tp * degrees.cp
    rest = ((degrees.pp, replica), (degrees.adp, degrees.pp * replica))
    if dcp in (1, replica) or (cp > 1 and dcp == cp) or (cp == 1 and tp % dcp == 0):
        across, along = min(dcp, cp), max(dcp // cp, 1)
        if dcp == 1:
            return GroupKind((), ((replica, 1), *rest))
        return GroupKind(((across, tp), (along, 1)), ((tp // along, along), *rest))
    return GroupKind((), ((replica, 1), *rest))  # refused by a rule


def round_robin(config: Config) -> bool:
    """Whether vLLM really deals experts out in turn; it falls back to linear without saying so to anybody who asks."""
    asked = "round_robin" in (config.framework.expert_layout, given(config).get("--expert-placement-strategy"))
    return asked and expert_parallel(config) and not round_robin_obstacles(config)


def round_robin_obstacles(config: Config) -> list[str]:
    """Why a round-robin placement falls back to linear (`determine_expert_placement_strategy`)."""
    args, degrees = given(config), config.degrees
    backend = args.get("--all2all-backend", "allgather_reducescatter")
    kernels = degrees.adp > 1 or degrees.cp > 1
    return [
        *["the model has one expert group"] * (config.model.n_group <= 1),
        *["EPLB is on"] * ("--enable-eplb" in args),
        *[f"the all-to-all back end is {backend}"] * (kernels and backend not in ROUND_ROBIN_BACKENDS),
    ]
