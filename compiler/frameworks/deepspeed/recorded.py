"""Every group that DeepSpeed makes for a plan, by its own functions and in its own order."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

from compiler.frameworks.deepspeed import json_args, layout, ulysses
from compiler.frameworks.deepspeed.package import Package
from compiler.layout.groups import ATTENTION_KINDS, EXPERT_KINDS
from compiler.world import World

Found = dict[str, list[list[int]]]


def recorded(package: Package, world: World, files: Mapping[str, Any]) -> Found:
    """Kind -> groups, for every kind of the plan; `files` are the emitted ones, parsed, by name."""
    found = _attention(package, world, files["constructors.json"])
    if world.config.model.moe:
        found |= _experts(package, world, files)
    found |= _zero_plus(package, world)
    return found | {kind: _joined(world, found, kind) for kind in world.groups if kind not in found}


def _attention(package: Package, world: World, given: Mapping[str, Any]) -> Found:
    """PipelineParallelGrid's groups in its order (ds_model, data, pipe, model), or those of AutoTP's mesh."""
    degrees, recorder, library = world.degrees, package.recorder, package.module("utils.groups")
    if layout.folded(world.config):
        library._init_tp_groups_with_new_group(degrees.tp)  # noqa: SLF001 - the mesh's groups, as lists
        return {"dp": recorder.take(degrees.tp), "tp": recorder.take()}
    if ulysses.asked(world.config):
        return _sequences(package, given[ulysses.REGISTER]["sequence_parallel_size"])
    topology = package.module("runtime.pipe.topology")
    arguments = given["PipeModelDataParallelTopology"]
    # Pairs of neighbours take quadratic time and make no group.
    with mock.patch.object(topology.PipelineParallelGrid, "_build_p2p_groups", return_value=[]):
        library.mpu = topology.PipelineParallelGrid(topology=topology.PipeModelDataParallelTopology(**arguments))
    found = {
        "deepspeed.ds_model": recorder.take(degrees.adp),
        "dp": recorder.take(degrees.tp * degrees.pp),
        "pp": recorder.take(degrees.tp * degrees.adp),
        "tp": recorder.take(),
    }
    library._clone_world_group()  # noqa: SLF001 - what the engine calls
    return found | {"deepspeed.world": recorder.take()}


def _sequences(package: Package, size: int) -> Found:
    """Ulysses' own state: runs of ranks, and all of them; no group joins ranks of the same piece of other sequences."""
    state = package.module("runtime.sequence_parallel.parallel_state_sp")
    fresh: dict[str, Any] = {
        "_SEQUENCE_PARALLEL_GROUP": None,
        "_SEQUENCE_DATA_PARALLEL_GROUP": None,
        "dist": package.recorder,
    }
    with mock.patch.multiple(state, **fresh):
        state.initialize_sequence_parallel(size)
    *runs, world = package.recorder.take()
    return {
        "cp": runs,
        "deepspeed.world": [world],
        "dp": [list(row) for row in zip(*runs, strict=True)],
        "dp_cp": [world],
    }


def _experts(package: Package, world: World, files: Mapping[str, Any]) -> Found:
    """Expert groups, by the function that the layout is named after."""
    chosen, recorder = layout.chosen(world.config), package.recorder
    library = package.module("utils.groups")
    first = files["ds_config.json"].get("use_data_before_expert_parallelism", False)
    lanes = chosen.strided and world.degrees.tp > 1
    stages = world.degrees.pp if lanes or layout.folded(world.config) else 1  # groups that are made stage by stage
    ep_first = chosen.split
    if lanes:
        library._create_expert_and_data_parallel(  # noqa: SLF001 - the user calls it too
            **files["constructors.json"]["_create_expert_and_data_parallel"]
        )
        ep_first = True
    elif chosen.auto:
        _autoep(package, world, first)
        ep_first = layout.folded(world.config)
    else:
        _native(package, files["constructors.json"]["MoE"], first)
    made = recorder.take()
    sizes = {kind: world.kinds[kind].count // stages for kind in (("ep", "edp") if ep_first else ("edp", "ep"))}
    found: Found = {kind: [] for kind in sizes}
    while made:
        for kind, size in sizes.items():
            found[kind] += made[:size]
            del made[:size]
    return found


def _native(package: Package, arguments: Mapping[str, Any], data_first: bool) -> None:
    """MoE chooses between its two functions by the arguments that we emit."""
    layer = package.module("moe.layer").MoE
    asked = SimpleNamespace(
        expert_group_name=f"ep_size_{arguments['ep_size']}",
        ep_size=arguments["ep_size"],
        enable_expert_tensor_parallelism=arguments["enable_expert_tensor_parallelism"],
        deepspeed_moe=SimpleNamespace(_set_ep_group=lambda _: None),
    )
    layer._create_process_groups(asked, use_data_before_expert_parallel_=data_first)  # noqa: SLF001 - the engine calls it


def _autoep(package: Package, world: World, data_first: bool) -> None:
    """What DeepSpeedEngine._configure_expert_parallel does before it replaces layers."""
    degrees, folded = world.degrees, layout.folded(world.config)
    spec = None
    if folded:
        folding = package.module("module_inject.auto_ep_folding")
        spec = folding.build_folding_spec(
            world_size=world.size, pp_size=degrees.pp, tp_size=degrees.tp, ep_size=degrees.ep, mp_mode="tp"
        )
    package.module("utils.groups")._create_expert_and_data_parallel(  # noqa: SLF001 - the engine calls it
        degrees.ep,
        mp_size=degrees.tp,
        pp_size=degrees.pp,
        mp_mode="tp" if folded else "sp",
        use_data_before_expert_parallel_=data_first,
        **({"folding_spec": spec} if folded else {}),
    )


def _zero_plus(package: Package, world: World) -> Found:
    library, recorder, found = package.module("utils.groups"), package.recorder, Found()
    if "deepspeed.zero_param" in world.kinds:
        library._create_zero_param_parallel_group(json_args.secondary_partition(world.config))  # noqa: SLF001 - ZeRO's
        found["deepspeed.zero_param"] = recorder.take()
    if "deepspeed.all_to_all_local" in world.kinds:
        gpus = SimpleNamespace(device_count=lambda: world.config.hardware.node.gpus)
        with mock.patch.object(library, "get_accelerator", return_value=gpus):
            library._get_local_all_to_all_group()  # noqa: SLF001 - the engine calls it
        found["deepspeed.all_to_all_local"] = recorder.take(world.kinds["deepspeed.all_to_all_local"].count)
        alone = world.kinds["deepspeed.all_to_all_global"].size == 1
        found["deepspeed.all_to_all_global"] = [[rank] for rank in range(world.size)] if alone else recorder.take()
    return found


def _joined(world: World, found: Found, kind: str) -> list[list[int]]:
    """A kind that DeepSpeed has no communicator for: the ranks that its own groups along those axes tie together.

    cp has one rank but with Ulysses; etp is tp where experts are split, else one rank. Listed as planned where the set is the same.
    """
    split = layout.chosen(world.config).split
    along = {"cp": "cp" if "cp" in found else "", "etp": "tp" if split else ""}
    axes = [along.get(axis, axis) for axis in {**ATTENTION_KINDS, **EXPERT_KINDS}[kind]]
    of_rank = {axis: {rank: row for row in found[axis] for rank in row} for axis in axes if axis in found}
    listed = []
    for row in world.groups[kind].tolist():
        ranks = {row[0]}
        for group in of_rank.values():
            ranks = {other for rank in ranks for other in group[rank]}
        listed.append(row if ranks == set(row) else sorted(ranks))
    return listed
