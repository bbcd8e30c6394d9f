"""A plan held against vLLM's own functions, taken from its wheel: groups, expert sharding, places, layers, experts, flags."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compiler.frameworks import lifted, versions
from compiler.frameworks.emission import flags
from compiler.frameworks.lifted import Silent, Source
from compiler.frameworks.options import options
from compiler.frameworks.proof import Finding, compared, groups, release
from compiler.frameworks.vllm import resolved
from compiler.frameworks.vllm.arguments import ALIASES, decode_context, redundant
from compiler.frameworks.vllm.emit import emission
from compiler.world import World

STATE, PARALLEL = "distributed/parallel_state.py", "config/parallel.py"
MAPS = "model_executor/layers/fused_moe/expert_map_manager.py"
CONFIG = "model_executor/layers/fused_moe/config.py"
PARSERS = ("engine/arg_utils.py", "entrypoints/common/cli_args.py", "entrypoints/launchers/cli_args.py")
"""Where options are declared; the last one up to 0.32."""

BUILT = {"tp": "tp", "pcp": "cp", "pp": "pp", "dp": "dp", "ep": "vllm.ep", "eplb": "vllm.eplb", "dcp": "vllm.dcp"}
"""vLLM's name of a communicator -> our kind."""


def prove(world: World, wheel: Path | None) -> Iterator[Finding]:
    """What vLLM builds, and what it resolves. Raises NotInstalledError."""
    source = lifted.source("vllm", wheel, versions.version(world.config).number)
    yield from findings(world, source)
    yield from resolved.findings(world, source)


def findings(world: World, source: Source) -> Iterator[Finding]:
    """Every group kind that vLLM builds, and its tables."""
    if source.version():
        yield release(world.config, source.version())
    yield from _groups(world, source)
    yield _places(world, source)
    yield _layers(world, source)
    if world.config.model.moe:
        yield _sharding(world, source)
        yield _experts(world, source)
    yield from _flags(world, source)


def _parallel(world: World) -> SimpleNamespace:
    """What vLLM's ParallelConfig holds, read off the command that we write."""
    degrees, made = world.degrees, emission(world)
    ours = options([text for text in made.arguments if isinstance(text, str)], ALIASES)
    nodes = int(ours.get("--nnodes", 1))
    return SimpleNamespace(
        data_parallel_size=int(ours.get("--data-parallel-size", 1)),
        tensor_parallel_size=int(ours["--tensor-parallel-size"]),
        pipeline_parallel_size=int(ours["--pipeline-parallel-size"]),
        prefill_context_parallel_size=int(ours.get("--prefill-context-parallel-size", 1)),
        data_parallel_size_local=int(ours.get("--data-parallel-size-local", 1 if nodes > 1 else degrees.adp)),
        nnodes=nodes,
        enable_expert_parallel="--enable-expert-parallel" in ours,
        enable_eplb="--enable-eplb" in ours,
        enable_elastic_ep=False,
        all2all_backend=ours.get("--all2all-backend", "allgather_reducescatter"),
        use_all2all=False,
        placement=ours.get("--expert-placement-strategy", "linear"),
        data_parallel_external_lb=False,
        distributed_executor_backend="mp",
        data_parallel_backend="mp",
    )


def built(world: World, source: Source) -> dict[str, list[list[int]]]:
    """Run `initialize_model_parallel` with a recorder for communicators: name -> groups."""
    torch, parallel, found = lifted.torch_module(), _parallel(world), {}
    model = SimpleNamespace(is_moe=world.config.model.moe, architecture="")
    config = SimpleNamespace(parallel_config=parallel, model_config=model, engram_config=None)

    def record(ranks: list[list[int]], *_: object, group_name: str, **__: object) -> Any:
        found[group_name] = ranks
        return SimpleNamespace(rank_in_group=0)

    distributed = SimpleNamespace(
        is_initialized=lambda: True, get_world_size=lambda: world.size, get_rank=lambda: 0, get_backend=Silent()
    )
    state = source.lift(
        STATE,
        "initialize_model_parallel",
        torch=SimpleNamespace(arange=torch.arange, distributed=distributed),
        get_world_group=lambda: SimpleNamespace(local_rank=0, device_group=None),
        init_model_parallel_group=record,
        logger=Silent(),
        imports={"vllm.config": {"get_current_vllm_config": lambda: config}},
    )
    state.initialize_model_parallel(
        parallel.tensor_parallel_size,
        parallel.pipeline_parallel_size,
        parallel.prefill_context_parallel_size,
        decode_context(world.config),
    )
    return found


def _groups(world: World, source: Source) -> Iterator[Finding]:
    found = {BUILT.get(name, f"vllm.{name}"): ranks for name, ranks in built(world, source).items()}
    found["vllm.world"] = [list(range(world.size))]
    flat = "ep" if world.degrees.ep > 1 else "etp"
    if "vllm.ep" in found and world.degrees.etp * world.degrees.ep > 1:
        found[flat] = found["vllm.ep"]  # the same ranks shard the experts
    for kind, theirs in found.items():
        if kind in world.kinds:
            yield groups(kind, world.groups[kind], theirs)
    own = {kind for kind in world.kinds if kind.startswith("vllm.")}
    yield compared("vLLM's own kinds", sorted(own), sorted(kind for kind in found if kind.startswith("vllm.")))


def _places(world: World, source: Source) -> Finding:
    """Which ranks vLLM starts on which node, and on which GPU there where ParallelConfig says it (0.33 and later)."""
    names, gpu = ["node_rank_within_dp", "nnodes_within_dp", "local_world_size"], "get_local_gpu_index"
    knows = source.defines(PARALLEL, f"ParallelConfig.{gpu}")
    space = source.lift(PARALLEL, *(f"ParallelConfig.{name}" for name in [*names, *[gpu] * knows])).space
    methods: dict[str, Any] = {name: property(space[name]) for name in names} | {gpu: space.get(gpu)}
    values, degrees = vars(_parallel(world)), world.degrees
    config = type("ParallelConfig", (), {**values, **methods})()
    config.world_size = degrees.tp * degrees.cp * degrees.pp
    gpus, found = world.slots.share.ranks, {}
    for node in range(world.slots.share.nodes):
        config.node_rank = node if config.nnodes > 1 else 0
        here = 1 if config.nnodes > 1 else config.data_parallel_size_local
        first = node * config.local_world_size // config.world_size if config.nnodes > 1 else node * here
        for replica in range(here):
            start = (first + replica) * config.world_size + config.local_world_size * config.node_rank_within_dp
            for local in range(config.local_world_size):
                found[start + local] = (node, config.get_local_gpu_index(local, replica) if knows else None)
    ours = {rank: (rank // gpus, rank % gpus if knows else None) for rank in range(world.size)}
    wrong = [rank for rank in sorted({*ours, *found}) if ours.get(rank) != found.get(rank)]
    what = "nodes and GPUs" if knows else "nodes"
    return Finding(what, not wrong, f"{world.size} ranks", f"differ for ranks {wrong[:8]}")


def _layers(world: World, source: Source) -> Finding:
    written = emission(world).environment.get("VLLM_PP_LAYER_PARTITION")
    envs = SimpleNamespace(VLLM_PP_LAYER_PARTITION=written)
    indices = source.lift("distributed/utils.py", "get_pp_indices", envs=envs, logger=Silent()).get_pp_indices
    pp, layers = world.degrees.pp, world.config.model.num_hidden_layers
    found = [indices(layers, stage, pp) for stage in range(pp)]
    return compared("layers", [(held[0], held[-1] + 1) for held in world.stages.layers], found)


def _sharding(world: World, source: Source) -> Finding:
    """Each rank's (tp, ep) of the experts: FusedMoEParallelConfig."""
    parallel, degrees = _parallel(world), world.degrees
    here = {name: world.attention.coordinate(name).tolist() for name in ("tp", "cp", "dp")}
    now = {"rank": 0}

    def at(name: str) -> Any:
        return lambda: SimpleNamespace(rank_in_group=here[name][now["rank"]])

    methods = ("flatten_tp_across_dp_and_pcp", "make")
    space = source.lift(
        CONFIG,
        *(f"FusedMoEParallelConfig.{name}" for name in methods),
        get_tensor_model_parallel_rank=lambda: here["tp"][now["rank"]],
        get_dp_group=at("dp"),
        get_pcp_group=at("cp"),
    ).space
    flatten = {methods[0]: staticmethod(space[methods[0]])}
    space["FusedMoEParallelConfig"] = type("Recorder", (SimpleNamespace,), flatten)
    found = []
    for rank in range(world.size):
        now["rank"] = rank
        made = space["make"](degrees.tp, degrees.cp, degrees.adp, 1, parallel)
        found.append((made.tp_size, made.tp_rank, made.ep_size, made.ep_rank))
    etp, ep = (world.expert.coordinate(name).tolist() for name in ("etp", "ep"))
    ours = [(degrees.etp, etp[rank], degrees.ep, ep[rank]) for rank in range(world.size)]
    wrong = [rank for rank, pair in enumerate(zip(ours, found, strict=True)) if pair[0] != pair[1]]
    return Finding("expert shards", not wrong, f"{world.size} ranks", f"differ for ranks {wrong[:8]}")


def _experts(world: World, source: Source) -> Finding:
    """The expert map of each ep rank, or EPLB's first arrangement of slots."""
    model, ep, parallel = world.config.model, world.degrees.ep, _parallel(world)
    extra = redundant(world.config)
    ours = [[expert for first, last in block for expert in range(first, last + 1)] for block in world.experts.blocks]
    if not ours:
        ours = [[]] * ep
    if not any(model.moe_layers):
        return compared("experts", ours, [[]] * ep)
    if parallel.enable_eplb:
        name = "EplbState.build_initial_global_physical_to_logical_map"
        slots = source.lift("distributed/eplb/eplb_state.py", name).space[name.split(".")[1]](model.num_experts, extra)
        share = len(slots) // ep
        return compared("experts", ours, [sorted(set(slots[rank * share :][:share])) for rank in range(ep)])
    kernels = parallel.enable_expert_parallel and (world.degrees.adp > 1 or world.degrees.cp > 1)
    moe = SimpleNamespace(
        use_all2all_kernels=kernels,
        needs_round_robin_routing_tables=kernels and parallel.all2all_backend in ("deepep_low_latency", "nixl_ep"),
        all2all_backend=parallel.all2all_backend,
    )
    names = ("determine_expert_placement_strategy", "determine_expert_map")
    maps = source.lift(MAPS, *names, torch=lifted.torch_module(), logger=Silent())
    strategy = maps.determine_expert_placement_strategy(parallel.placement, moe, model.n_group, 0, enable_eplb=False)
    found = []
    for rank in range(ep):
        _, table, _ = maps.determine_expert_map(ep, rank, model.num_experts, strategy)
        held = range(model.num_experts) if table is None else (table >= 0).nonzero().flatten().tolist()
        found.append(list(held))
    return compared("experts", ours, found)


def _flags(world: World, source: Source) -> Iterator[Finding]:
    """Every option that the server is started with is one of its own."""
    known: set[str] = set()
    for path in PARSERS:
        known |= set(_options(source.tree(path))) if source.holds(path) else set()
    made = emission(world)
    ours = flags((*made.arguments, *(made.others or ())))
    yield compared("unknown flags", [], sorted({ALIASES.get(name, name).split(".")[0] for name in ours} - known))


def _options(tree: ast.Module) -> Iterator[str]:
    """Names that are written out, and those made of fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield "--" + node.target.id.replace("_", "-")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("-"):
            yield node.value
