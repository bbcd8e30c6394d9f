"""What vLLM is started with: one `vllm serve` a node, the first one with the API and the others headless."""

from __future__ import annotations

from compiler.frameworks.emission import Argument, Computed, Emission, merged
from compiler.frameworks.options import without
from compiler.frameworks.serving import context_length, default_weights, http_port, precision, weights
from compiler.frameworks.vllm.arguments import ALIASES, DECIDED, expert_parallel
from compiler.specs.config import Config
from compiler.world import World

PROGRAM = ("vllm", "serve")
PORT = 8000
"""The default `--port`."""


def emission(world: World) -> Emission:
    """A command for the first node and one for the others. Raises ConfigError where the user's arguments clash."""
    config = world.config
    model = weights(config, ("--model",), positional=True) or default_weights(config)
    fixed = (*_degrees(config), *_requests(config))
    first, others = _nodes(world)
    ours = (*fixed, *first, *(others or ()))
    merged(config, ours, aliases=ALIASES, decided=DECIDED, abbreviates=True)  # refuses what both set
    texts = tuple(without(config.framework.args, "--model"))
    texts = texts[1:] if texts[:1] == (model,) else texts
    stages = config.parallel.stages
    partition = {"VLLM_PP_LAYER_PARTITION": ",".join(map(str, stages))} if stages and world.degrees.pp > 1 else {}
    headless = tuple(without(texts, "--api-server-count", "-asc", "--api_server_count"))
    return Emission(
        PROGRAM,
        (model, *fixed, *first, *texts),
        others=None if others is None else (model, *fixed, *others, *headless),
        environment=partition,
        unit="node",
    )


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
    sequences = -(-config.workload.global_batch_size // config.degrees.adp)
    return (f"--max-model-len={context_length(config)}", f"--max-num-seqs={sequences}", *precision(config))


def _nodes(world: World) -> tuple[tuple[Argument, ...], tuple[Argument, ...] | None]:
    """Arguments of the first node, and of the others (None: there are none).

    A replica that spans nodes makes them one multi-node executor; replicas inside a node are DP ranks that dial in.
    `--data-parallel-start-rank` without `--headless` would mean a load balancer of one's own.
    """
    degrees, gpus = world.degrees, world.slots.gpus
    nodes, replica = -(-world.size // gpus), degrees.tp * degrees.cp * degrees.pp
    if nodes == 1:
        return http_port(world.config, PORT, 1), None
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
