"""What SGLang is started with: one `launch_server` a node."""

from __future__ import annotations

import json

from compiler.expert_map import ExpertMap, expert_map
from compiler.frameworks import versions
from compiler.frameworks.emission import Argument, Computed, Emission, merged
from compiler.frameworks.options import options
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
    stage_width,
    weights,
)
from compiler.frameworks.sglang.arguments import ALIASES, DECIDED, KEYS, planned
from compiler.frameworks.sglang.pass_rules import dispatched
from compiler.render.artifacts import Artifact
from compiler.specs.config import Config
from compiler.words import whole
from compiler.world import World

PROGRAM = ("python3", "-m", "sglang.launch_server")
PORT, PORT_STEP = 30000, 1000
"""The default `--port`; a server with attention DP takes some more beside it and 233 above."""
NUMA = "--numa-node"
HOST = "--host"
MAP, MAP_FILE = "--init-expert-location", "framework/expert_location.json"
"""Without it a server listens on 127.0.0.1 (`arg_groups/fields/serving.py`)."""

BOOTSTRAP_PORT = 8998
"""Where servers of decode find one of prefill (`--disaggregation-bootstrap-port`)."""


ROUTER = "python3 -m sglang_router.launch_router --pd-disaggregation {prefill} {decode} --host 0.0.0.0 --port {port}"
"""Of the package sglang-router, as sglang/test/server_fixtures/disaggregation_fixture.py of 0.5.23 starts it."""
BOOTSTRAP = "--disaggregation-bootstrap-port"


def emission(world: World) -> Emission:
    """Every node starts the same command, with its own `--node-rank`. Raises ConfigError for clashes with the user's."""
    config = world.config
    ours = (
        *(*_weights(config), *_degrees(config), *_requests(config), *planned(config), *_phase(config)),
        *[f"{HOST}={http_host(config)}"] * (HOST not in options(config.framework.args)),
        *_numa(config),
        *_nodes(world),
        *[Computed(f"{MAP}={{RANKPLAN_PLAN}}/{MAP_FILE}")] * world.experts.by_layer,
    )
    placed = expert_map(world) if world.experts.by_layer else None
    stages = config.parallel.stages
    partition = {"SGLANG_PP_LAYER_PARTITION": ",".join(map(str, stages))} if stages and world.degrees.pp > 1 else {}
    return Emission(
        PROGRAM,
        merged(config, ours, aliases=ALIASES, decided=DECIDED, abbreviates=True, keys=KEYS),
        environment=partition,
        files=() if placed is None else (map_file(world, placed),),
        unit="node",
        http_port=http_port(config, PORT, PORT_STEP),
        http_host=http_host(config),
        http_scheme=http_scheme(config),
        router=Router(ROUTER, "--prefill {url} {port}", "--decode {url}", second=_bootstrap(config)),
    )


def map_file(world: World, experts: ExpertMap) -> Artifact:
    """What `--init-expert-location` reads: a row for every layer, dense ones too (`eplb/expert_location.py`)."""
    rows = experts.of_model(world.config.model.num_hidden_layers)
    return Artifact(MAP_FILE, json.dumps({"physical_to_logical_map": rows}) + "\n")


def _numa(config: Config) -> tuple[str, ...]:
    nodes = numa(config, NUMA)
    return (NUMA, *nodes) if nodes else ()


def _weights(config: Config) -> tuple[str, ...]:
    found = weights(config, ("--model-path", "--model"))
    return () if found else (f"--model-path={default_weights(config)}",)


def _degrees(config: Config) -> tuple[str, ...]:
    """Sizes; `--tp-size` is the width of a stage."""
    degrees, moe = config.degrees, config.model.moe
    attention_dp = versions.version(config).facts["attention_dp"] if degrees.adp > 1 else []
    return (
        f"--tp-size={stage_width(degrees)}",
        f"--pp-size={degrees.pp}",
        *[text.format(adp=degrees.adp) for text in attention_dp],
        *[f"--attn-cp-size={degrees.cp}", "--enable-prefill-cp"] * (degrees.cp > 1),
        *[f"--ep-size={degrees.ep}"] * moe,
        *[f"--moe-dp-size={degrees.edp}"] * (moe and degrees.edp > 1),
        *[f"--init-expert-location={config.framework.expert_layout}"] * bool(config.framework.expert_layout),
    )


def running(config: Config) -> int:
    """Requests at a time, which SGLang divides by the attention DP. No more run than its kernels dispatch."""
    adp, most = config.degrees.adp, dispatched(config)
    each = -(-config.workload.global_batch_size // adp)
    return (each if most is None else min(each, most)) * adp


def _requests(config: Config) -> tuple[str, ...]:
    """Lengths and batch."""
    return (
        f"--context-length={context_length(config)}",
        f"--max-running-requests={running(config)}",
        *precision(config),
    )


def _phase(config: Config) -> tuple[Argument, ...]:
    """A pool's servers do one phase; how KV caches move between them is `--disaggregation-transfer-backend`."""
    role = config.workload.role
    if role is None:
        return ()
    listens = role == "prefill" and shares_nodes(config)
    return (f"--disaggregation-mode={role}", *[_bootstrap(config)] * listens)


def _bootstrap(config: Config) -> Computed:
    """The port of prefill that servers of decode ask, one further for each server before it on its node."""
    said = whole(options(config.framework.args).get(BOOTSTRAP, ""))
    return Computed(f"{BOOTSTRAP}={{PORT}}", times=0 if said else 1, port=said or BOOTSTRAP_PORT)


def _nodes(world: World) -> tuple[Argument, ...]:
    nodes = world.slots.share.nodes
    if nodes == 1:
        return http_flag(world.config, PORT, PORT_STEP)
    return (
        f"--nnodes={nodes}",
        Computed("--node-rank={NODE_RANK}"),
        Computed("--dist-init-addr={MASTER_HOST}:{MASTER_PORT}"),
    )
