"""A plan held against Megatron itself: arguments, groups, layers, experts and vocabulary. No GPU, one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from compiler.frameworks.adapter import adapter
from compiler.frameworks.megatron import placed, recorded
from compiler.frameworks.megatron.installed import has_training, megatron
from compiler.frameworks.megatron.recorded import Refused
from compiler.frameworks.proof import Finding, compared, groups, release
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
        yield from _sizes(world, args)
    yield from _groups(world, args)
    yield from placed.findings(world, args)


def _sizes(world: World, args: Any) -> Iterator[Finding]:
    """Parsed degrees, and what follows from them in Megatron's own arithmetic."""
    degrees, workload = world.degrees, world.config.workload
    names = ("tensor_model", "pipeline_model", "context", "expert_model", "data")
    planned = (degrees.tp, degrees.pp, degrees.cp, degrees.ep, degrees.adp)
    for name, size in zip(names, planned, strict=True):
        yield compared(f"args.{name}_parallel_size", size, getattr(args, f"{name}_parallel_size"))
    if world.config.model.moe:
        yield compared("args.expert_tensor_parallel_size", degrees.etp, args.expert_tensor_parallel_size)
    virtual = args.virtual_pipeline_model_parallel_size or 1
    yield compared("args.virtual_pipeline_model_parallel_size", degrees.vpp, virtual)
    if workload.train:
        micro = args.global_batch_size / (args.micro_batch_size * args.data_parallel_size)
        yield compared("micro-batches", workload.global_batch_size / (workload.micro_batch_size * degrees.adp), micro)
        parallel = world.config.sequence_parallel and degrees.tp > 1
        yield compared("args.sequence_parallel", parallel, args.sequence_parallel)
        yield from _host(world, args)


def _host(world: World, args: Any) -> Iterator[Finding]:
    """What the workload keeps in the host's memory."""
    workload = world.config.workload
    states = args.optimizer_offload_fraction if args.optimizer_cpu_offload else 0.0
    yield compared("optimizer states on the host", workload.optimizer_offload, states)
    layers = round(workload.activation_offload * world.config.model.num_hidden_layers)
    yield compared("layers whose activations are on the host", layers, args.cpu_offloading_num_layers)


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
