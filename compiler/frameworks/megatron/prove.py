"""A plan held against Megatron itself: arguments, groups, layers, experts and vocabulary. No GPU, one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.frameworks.megatron import placed, recorded, resolved
from compiler.frameworks.megatron.installed import has_training, megatron
from compiler.frameworks.megatron.recorded import Refused
from compiler.frameworks.proof import Finding, groups, release
from compiler.frameworks.resolved import values
from compiler.world import World

DESCRIBED: Mapping[str, str] = {
    "DATA_PARALLEL_GROUP_WITH_CP": "dp_cp",
    "INTRA_PARTIAL_DATA_PARALLEL_GROUP_WITH_CP": "intra_dp_cp",
    "DATA_PARALLEL_GROUP": "dp",
    "CONTEXT_PARALLEL_GROUP": "cp",
    "MODEL_PARALLEL_GROUP": "mp",
    "TENSOR_MODEL_PARALLEL_GROUP": "tp",
    "PIPELINE_MODEL_PARALLEL_GROUP": "pp",
    "EMBEDDING_GROUP": "embd",
    "POSITION_EMBEDDING_GROUP": "pos_embd",
    "TENSOR_AND_DATA_PARALLEL_GROUP_WITH_CP": "tp_dp_cp",
    "TENSOR_AND_DATA_PARALLEL_GROUP": "tp_dp",
    "TENSOR_AND_CONTEXT_PARALLEL_GROUP": "tp_cp",
    "EXPERT_MODEL_PARALLEL_GROUP": "ep",
    "EXPERT_TENSOR_PARALLEL_GROUP": "ep_tp",
    "EXPERT_TENSOR_AND_MODEL_PARALLEL_GROUP": "tp_ep_mp",
    "EXPERT_TENSOR_MODEL_PIPELINE_PARALLEL_GROUP": "tp_ep_pp",
    "EXPERT_TENSOR_MODEL_PIPELINE_PARALLEL_GROUP_WITH_EGTP": "tp_ep_gtp_remat_pp",
    "EXPERT_DATA_PARALLEL_GROUP": "ep_dp",
    "HIERARCHICAL_EXPERT_DATA_PARALLEL_GROUP_L0": "intra_ep_dp",
    "HIERARCHICAL_EXPERT_DATA_PARALLEL_GROUP_L1": "inter_ep_dp",
    "INTRA_DISTRIBUTED_OPTIMIZER_INSTANCE_GROUP": "intra_dist_opt_instance",
    "GTP_WEIGHT_REMAT_GROUP": "gtp_remat",
    "EXPERT_GTP_WEIGHT_REMAT_GROUP": "expt_gtp_remat",
}
"""Megatron's description of a group -> its key in a communicator file."""

OWN: Mapping[str, str] = {"mp": "tp_pp", "ep_tp": "etp", "tp_ep_mp": "etp_ep", "tp_ep_pp": "etp_ep_pp", "ep_dp": "edp"}
"""Keys that name a kind of the plan's own; other keys that the plan has as such are spelt alike."""


def prove(world: World, source: Path | None) -> Iterator[Finding]:
    """Raises NotInstalledError, and ConfigError where `source` is no Megatron."""
    with megatron(source):
        yield release(world.config, placed.found(world.config).number)
        yield from findings(world)


def findings(world: World) -> Iterator[Finding]:
    """The same for the Megatron that is imported; without megatron.training its arguments are not compared."""
    args: Any = None
    if has_training():
        args = recorded.parsed(adapter("megatron").emission(world), world.size)
        refused = args.reason if isinstance(args, Refused) else ""
        yield Finding("arguments taken by parse_args and validate_args", not refused, "accepted", refused or "accepted")
        if refused:
            return
        config = placed.configured(world, args)
        if not isinstance(config, Refused):
            yield from values(resolved.planned(world), resolved.read(args, config))
    yield from _groups(world, args)
    yield from placed.findings(world, args)


def _groups(world: World, args: Any) -> Iterator[Finding]:
    """Every kind that either side has."""
    given = recorded.settings(args) if args is not None else recorded.planned_settings(world.config)
    found = recorded.groups(world, given)
    if isinstance(found, Refused):
        yield Finding("groups made by initialize_model_parallel", equal=False, planned="made", found=found.reason)
        return
    made = {kind_of(world, description): rows for description, rows in found.items()}
    for kind in world.groups:
        yield groups(kind, world.groups[kind], made.pop(kind, []))
    for kind, rows in made.items():
        yield Finding(f"groups {kind}", equal=False, planned="none", found=f"{len(rows)} groups of {len(rows[0])}")


def kind_of(world: World, description: str) -> str:
    """The plan's name for a group of Megatron's."""
    levels = "HIERARCHICAL_CONTEXT_PARALLEL_GROUP_L"
    level = description.removeprefix(levels)
    key = f"hcp.{level}" if level != description else DESCRIBED.get(description, description)
    own = OWN.get(key, key)
    return own if own in world.kinds else f"megatron.{key}"
