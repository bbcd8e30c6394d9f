"""A plan held against SGLang's own functions, taken from its wheel, its resolver of arguments among them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compiler.frameworks import lifted, versions
from compiler.frameworks.emission import flags
from compiler.frameworks.family import unknown
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.options import number
from compiler.frameworks.proof import Finding, compared, groups, release, unprovable
from compiler.frameworks.serving import stage_width
from compiler.frameworks.sglang.arguments import given
from compiler.frameworks.sglang.emit import emission
from compiler.frameworks.sglang.resolved import findings
from compiler.frameworks.sglang.resolver.ask import case, resolve
from compiler.world import World

STATE, CONTEXT = "srt/distributed/parallel_state.py", "srt/runtime_context.py"
BUILT = {
    "_TP": "sglang.tp",
    "_ATTN_TP": "tp",
    "_ATTN_CP": "cp",
    "_MOE_TP": "etp",
    "_MOE_EP": "ep",
    "_MOE_DP": "sglang.moe_dp",
    "_PP": "pp",
    "_SELF_PP": "sglang.self_pp",
    "_DCP": "sglang.dcp",
    "_SHARED_EXPERTS_TP": "sglang.shared_experts_tp",
}
"""SGLang's variable -> our kind; two variables may hold one communicator."""

ARGUMENTS = {
    "tensor_model_parallel_size": "tp_size",
    "expert_model_parallel_size": "moe_ep_size",
    "pipeline_model_parallel_size": "pp_size",
    "attention_data_parallel_size": "attn_dp_size",
    "attention_context_model_parallel_size": "attn_cp_size",
    "moe_data_model_parallel_size": "moe_dp_size",
    "decode_context_parallel_size": "attn_dcp_size",
}
"""What `initialize_model_parallel` is given up to 0.5.21; later ones read it from the published configuration."""

DENSE = {"_MOE_TP": "sglang.moe_tp", "_MOE_EP": "sglang.moe_ep"}
"""The same where the model has no experts, and the plan no such axes."""


def prove(world: World, wheel: Path | None) -> Iterator[Finding]:
    """Every group kind that SGLang builds, its tables, and its arguments as it resolves them. Raises NotInstalledError."""
    source = lifted.source("sglang", wheel, versions.version(world.config).number)
    yield from laid_out(world, source)
    if why := unknown(world.config.model):
        yield unprovable("SGLang", why)
    else:
        yield from findings(world, resolve(source, [case(world)])[0])


def laid_out(world: World, source: Source) -> Iterator[Finding]:
    """What single functions of it say."""
    yield from _version(world, source)
    yield from _groups(world, source)
    yield _coordinates(world, source)
    yield _places(world, source)
    yield _layers(world, source)
    if world.config.model.moe:
        yield _experts(world, source)
    yield _flags(world, source)


def _version(world: World, source: Source) -> Iterator[Finding]:
    if source.version():
        yield release(world.config, source.version())


def _widths(world: World) -> dict[str, Any]:
    """The published configuration, in SGLang's names, as its flags set it."""
    degrees, args = world.degrees, given(world.config)
    shared = number(args, "--shared-experts-tp-size", 0)
    return {
        "tp_size": stage_width(degrees),
        "pp_size": degrees.pp,
        "moe_ep_size": degrees.ep,
        "ep_size": degrees.ep,
        "moe_dp_size": degrees.edp if world.config.model.moe else 1,
        "attn_dp_size": degrees.adp,
        "attn_cp_size": degrees.cp,
        "attn_dcp_size": number(args, "--dcp-size", 1),
        "shared_experts_tp_size": shared or None,
        "elastic_ep_initial_size": None,
        "nnodes": world.slots.share.nodes,
    }


def built(world: World, source: Source) -> dict[str, list[list[int]] | None]:
    """Run `initialize_model_parallel` with a recorder for communicators: SGLang's variable -> its groups."""
    sizes = _widths(world)
    parallel = SimpleNamespace(**sizes, override_permanently=Silent())
    distributed = SimpleNamespace(is_initialized=lambda: True, get_world_size=lambda: world.size, get_backend=Silent())
    helpers = [name for name in ("derive_attn_tp_size", "derive_attention_widths") if source.defines(CONTEXT, name)]
    widths = source.lift(CONTEXT, *helpers, "derive_parallel_widths")
    state = source.lift(
        STATE,
        "initialize_model_parallel",
        torch=SimpleNamespace(distributed=distributed),
        get_parallel=lambda: parallel,
        get_world_group=lambda: SimpleNamespace(local_rank=0, device_group=None),
        init_model_parallel_group=lambda ranks, *_, **__: SimpleNamespace(ranks=ranks, rank_in_group=1),
        derive_parallel_widths=widths.derive_parallel_widths,
        envs=Silent(),
        logger=Silent(),
        get_tensor_model_parallel_rank=lambda: 1,
        is_cuda=lambda: True,
        is_hip=lambda: False,
        _is_npu=False,
        _is_xpu=False,
        imports={"sglang.srt.layers.sampler": {"SYNC_TOKEN_IDS_ACROSS_TP": False}},
    )
    wanted = signature(state.initialize_model_parallel).parameters
    state.initialize_model_parallel(**{name: sizes[key] for name, key in ARGUMENTS.items() if name in wanted})
    found = {name: state.space.get(name) for name in BUILT}
    return {name: None if group is None else group.ranks for name, group in found.items()}


def _groups(world: World, source: Source) -> Iterator[Finding]:
    kinds = BUILT if world.config.model.moe else {**BUILT, **DENSE}
    found = {kinds[name]: ranks for name, ranks in built(world, source).items() if ranks is not None}
    found["sglang.world"] = [list(range(world.size))]
    for kind, theirs in found.items():
        if kind in world.kinds:
            yield groups(kind, world.groups[kind], theirs)
    own = {kind for kind in world.kinds if kind.startswith("sglang.")}
    yield compared("SGLang's own kinds", sorted(own), sorted(kind for kind in found if kind.startswith("sglang.")))


def _coordinates(world: World, source: Source) -> Finding:
    """Each process's coordinates as SGLang derives them before it has groups."""
    degrees = world.degrees
    edp = degrees.edp if world.config.model.moe else 1
    derive = source.lift(CONTEXT, "derive_spawn_ranks").derive_spawn_ranks
    names = {"attn_cp_rank": "cp", "pp_rank": "pp", "moe_dp_rank": "edp", "moe_ep_rank": "ep", "moe_tp_rank": "etp"}
    grids = {name: world.attention if name in ("cp", "pp") else world.expert for name in names.values()}
    ours = {theirs: grids[name].coordinate(name).tolist() for theirs, name in names.items()}
    if not world.config.model.moe:
        ours = {name: ours[name] for name in ("attn_cp_rank", "pp_rank")}
    fixed = {
        "tp_size": stage_width(degrees),
        "ep_join_rank_offset": 0,
        "attn_cp_size": degrees.cp,
        "attn_tp_size": degrees.tp,
        "moe_dp_size": edp,
        "moe_ep_size": degrees.ep,
    }
    ranks = [derive(world_rank=rank, **fixed) for rank in range(world.size)]
    wrong = [rank for rank, row in enumerate(ranks) if any(row[name] != column[rank] for name, column in ours.items())]
    what = f"coordinates {' '.join(sorted(ours))}"
    return Finding(what, not wrong, f"{world.size} ranks", f"{len(wrong)} ranks differ: {wrong[:8]}")


def _places(world: World, source: Source) -> Finding:
    """Which ranks SGLang starts on which node and GPU."""
    nodes, width = world.slots.share.nodes, stage_width(world.degrees)
    parallel = SimpleNamespace(nnodes=nodes, pp_size=world.degrees.pp, tp_size=width)
    ranges = source.lift("srt/entrypoints/engine.py", "_calculate_rank_ranges", get_parallel=lambda: parallel)
    found = {}
    for node in range(nodes):
        stages, ranks, stages_here, ranks_here = ranges._calculate_rank_ranges(node)  # noqa: SLF001 - its name
        for pp in stages:
            for rank in ranks:
                found[pp * width + rank] = (node, pp % stages_here * ranks_here + rank % ranks_here)
    gpus = world.slots.share.ranks
    ours = {rank: (rank // gpus, rank % gpus) for rank in range(world.size)}
    wrong = [rank for rank in sorted({*ours, *found}) if ours.get(rank) != found.get(rank)]
    return Finding("nodes and GPUs", not wrong, f"{world.size} ranks on {nodes} nodes", f"differ for ranks {wrong[:8]}")


def _layers(world: World, source: Source) -> Finding:
    written = emission(world).environment.get("SGLANG_PP_LAYER_PARTITION")
    os = SimpleNamespace(getenv=lambda _, default: written or default)
    indices = source.lift("srt/distributed/utils.py", "get_pp_indices", os=os).get_pp_indices
    pp, layers = world.degrees.pp, world.config.model.num_hidden_layers
    found = [indices(layers, stage, pp) for stage in range(pp)]
    return compared("layers", [(held[0], held[-1] + 1) for held in world.stages.layers], found)


def _experts(world: World, source: Source) -> Finding:
    """Each rank's share of the slots."""
    ep, slots = world.degrees.ep, _slots(world, source)
    share = len(slots) // ep
    found = [sorted(set(slots[rank * share :][:share])) for rank in range(ep)]
    ours = [
        [expert for first, last in block for expert in range(first, last + 1)] for block in world.experts.blocks
    ] or [[]] * ep
    return compared("experts", ours, found if any(world.config.model.moe_layers) else [[]] * ep)


def _slots(world: World, source: Source) -> list[int]:
    """The expert in each slot of a layer, as the trivial location has it."""
    torch, path = lifted.torch_module(), "srt/eplb/expert_location.py"
    execution = SimpleNamespace(
        moe=SimpleNamespace(
            ep_num_redundant_experts=number(given(world.config), "--ep-num-redundant-experts", 0), ep_join_mode=None
        )
    )
    config = SimpleNamespace(num_layers=1, num_logical_experts=world.config.model.num_experts)
    common = source.lift(
        path,
        "ExpertLocationMetadata._init_common",
        ModelConfigForExpertLocation=SimpleNamespace(from_model_config=lambda _: config),
        get_exec=lambda: execution,
        get_parallel=lambda: SimpleNamespace(**_widths(world)),
    )
    metadata = SimpleNamespace(
        _init_common=common._init_common,  # noqa: SLF001 - its name
        init_by_mapping=lambda *_, physical_to_logical_map, **__: physical_to_logical_map,
    )
    trivial = source.lift(
        path,
        "ExpertLocationMetadata.init_trivial",
        "append_trivial_expert_slots",
        ExpertLocationMetadata=metadata,
        torch=torch,
    )
    slots: list[int] = trivial.init_trivial(None, 0)[0].tolist()
    return slots


def _flags(world: World, source: Source) -> Finding:
    """Every option that the server is started with is one of its own."""
    known = set()
    for path in source.names("srt/arg_groups/fields"):
        known |= set(_options(source.tree(path)))
    made = emission(world)
    ours = flags((*made.arguments, *(made.others or ())))
    return compared("unknown flags", [], sorted(ours - known))


def _options(tree: ast.Module) -> Iterator[str]:
    """Names made of fields, and those that are written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield "--" + node.target.id.replace("_", "-")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--"):
            yield node.value
