"""What vLLM is started with: one `vllm serve` a node, the first one with the API and the others headless."""

from __future__ import annotations

from compiler.frameworks.asked import sequences
from compiler.frameworks.emission import Argument, Computed, Emission, flags, merged
from compiler.frameworks.options import nested, without
from compiler.frameworks.router import Router
from compiler.frameworks.serving import (
    context_length,
    default_weights,
    http_flag,
    http_host,
    http_port,
    http_scheme,
    numa,
    precision,
    shares_nodes,
    weights,
)
from compiler.frameworks.vllm.arguments import (
    ALIASES,
    DECIDED,
    DRAFTS,
    KEYS,
    KV_TRANSFER,
    OPPOSITES,
    expert_parallel,
    given,
    planned,
    transfers_by_nixl,
)
from compiler.specs.config import Config
from compiler.world import World

PROGRAM = ("vllm", "serve")
PORT = 8000
"""The default `--port`."""

SIDE_CHANNEL = "VLLM_NIXL_SIDE_CHANNEL_"
SIDE_PORT = 5600
"""Where NIXL's workers exchange their addresses; DP rank i of an instance takes the port i further on."""

KV_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}
"""What a pool does with KV caches (`config/kv_transfer.py`)."""


def emission(world: World) -> Emission:
    """A command for the first node and one for the others. Raises ConfigError where the user's arguments clash."""
    config = world.config
    model = weights(config, ("--model",), positional=True) or default_weights(config)
    fixed = (*_degrees(config), *_requests(config), *planned(config), *_phase(config), *_numa(config))
    first, others = _nodes(world)
    ours = (*fixed, *first, *(others or ()))
    merged(
        config, ours, aliases=_spellings(config), decided=DECIDED, abbreviates=True, keys=KEYS
    )  # refuses what both set
    texts = tuple(without(config.framework.args, "--model"))
    texts = texts[1:] if texts[:1] == (model,) else texts
    stages = config.parallel.stages
    partition = {"VLLM_PP_LAYER_PARTITION": ",".join(map(str, stages))} if stages and world.degrees.pp > 1 else {}
    headless = tuple(without(texts, "--api-server-count", "-asc", "--api_server_count"))
    return Emission(
        PROGRAM,
        (model, *fixed, *first, *texts),
        others=None if others is None else (model, *fixed, *others, *headless),
        environment={**partition, **_side_channel(config)},
        unit="node",
        http_port=http_port(config, PORT, 1),
        http_host=http_host(config),
        http_scheme=http_scheme(config),
        router=_router(config),
    )


ROUTER = "vllm-router --vllm-pd-disaggregation{connector} {prefill} {decode} --host 0.0.0.0 --port {port}"
"""Of the package vllm-router; CONNECTORS are its names of what moves KV caches."""
CONNECTORS = {"NixlConnector": "nixl", "MooncakeConnector": "mooncake"}


def _router(config: Config) -> Router:
    named = "NixlConnector" if transfers_by_nixl(config) else str(nested(given(config), KV_TRANSFER, "kv_connector"))
    connector = f" --kv-connector {CONNECTORS[named]}" if named in CONNECTORS else ""
    return Router(ROUTER.replace("{connector}", connector), "--prefill {url}", "--decode {url}")


def _spellings(config: Config) -> dict[str, str]:
    """Every other way to set an option of ours: aliases, opposites, and one field of the drafts', as in `-sc.field`."""
    names = {flag: ALIASES.get(flag.split(".")[0], flag.split(".")[0]) for flag in flags(config.framework.args)}
    return {**ALIASES, **OPPOSITES, **{flag: name for flag, name in names.items() if name == DRAFTS != flag}}


def _degrees(config: Config) -> tuple[str, ...]:
    degrees, layout = config.degrees, config.framework.expert_layout
    replica = degrees.tp * degrees.cp * degrees.pp
    return (
        f"--tensor-parallel-size={degrees.tp}",
        f"--pipeline-parallel-size={degrees.pp}",
        *[f"--prefill-context-parallel-size={degrees.cp}"] * (degrees.cp > 1),
        *[f"--data-parallel-size={degrees.adp}"] * (degrees.adp > 1),
        *["--enable-expert-parallel"] * expert_parallel(config),
        *[f"--expert-placement-strategy={layout}"] * bool(layout),
        *["--distributed-executor-backend=mp"] * (replica > 1),
    )


def _requests(config: Config) -> tuple[str, ...]:
    """Lengths and batch; `--max-num-seqs` is of one DP rank."""
    return (f"--max-model-len={context_length(config)}", f"--max-num-seqs={sequences(config)}", *precision(config))


def _phase(config: Config) -> tuple[str, ...]:
    """A pool's servers hand KV caches on, or take them, through NIXL unless the user names another connector."""
    if not transfers_by_nixl(config):
        return ()
    role = KV_ROLES[str(config.workload.role)]
    return (f'{KV_TRANSFER}={{"kv_connector":"NixlConnector","kv_role":"{role}"}}',)


def _numa(config: Config) -> tuple[str, ...]:
    """Each worker on the NUMA node of its GPU; numactl must be in the image."""
    bind = "--numa-bind"
    nodes = numa(config, bind, f"--no-{bind[2:]}", f"{bind}-nodes", f"{bind}-cpus")
    return (bind, f"{bind}-nodes", *nodes) if nodes else ()


def _side_channel(config: Config) -> dict[str, Argument]:
    """NIXL's default address, localhost, is found by nobody on another node."""
    if not transfers_by_nixl(config):
        return {}
    port = Computed("{PORT}", times=config.degrees.adp, port=SIDE_PORT)
    shared = {f"{SIDE_CHANNEL}PORT": port} if shares_nodes(config) else {}
    return {f"{SIDE_CHANNEL}HOST": Computed("{ADDRESS}"), **shared}


def _nodes(world: World) -> tuple[tuple[Argument, ...], tuple[Argument, ...] | None]:
    """Arguments of the first node, and of the others (None: there are none).

    A replica that spans nodes makes them one multi-node executor; replicas inside a node are DP ranks that dial in.
    `--data-parallel-start-rank` without `--headless` would mean a load balancer of one's own.
    """
    degrees, gpus = world.degrees, world.slots.share.ranks
    nodes, replica = world.slots.share.nodes, degrees.tp * degrees.cp * degrees.pp
    if nodes == 1:
        return http_flag(world.config, PORT, 1), None
    if replica > gpus:
        executor = (
            f"--nnodes={nodes}",
            Computed("--node-rank={NODE_RANK}"),
            Computed("--master-addr={MASTER_ADDR}"),
            Computed("--master-port={MASTER_PORT}"),
        )
        return executor, (*executor, "--headless")
    local = gpus // replica
    ranks = (
        f"--data-parallel-size-local={local}",
        Computed("--data-parallel-address={MASTER_ADDR}"),
        Computed("--data-parallel-rpc-port={MASTER_PORT}"),
    )
    return ranks, (*ranks, Computed("--data-parallel-start-rank={START}", times=local), "--headless")
