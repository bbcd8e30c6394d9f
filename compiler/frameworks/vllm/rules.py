"""What vLLM refuses of degrees, layout and places, from the configuration alone; late or silent troubles first."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, rule
from compiler.cluster.share import share
from compiler.frameworks import blocks, quantized, serving, versions
from compiler.frameworks.serving import apart, stage_width, whole
from compiler.frameworks.vllm import attention_rules, feature_rules, flag_rules, pass_rules
from compiler.frameworks.vllm.arguments import ALIASES, expert_parallel, expressible, transfers_by_nixl
from compiler.frameworks.vllm.layout import VOCABULARY_ROWS, round_robin_obstacles
from compiler.specs.config import Config

VARIABLES = {
    "VLLM_PP_LAYER_PARTITION": "cuts layers past the plan: write parallel.stages",
    "VLLM_DP_SIZE": "makes every server think that it is one of several",
    "VLLM_DP_RANK": "gives every server the same DP rank",
    "VLLM_DP_MASTER_IP": "is for offline data parallelism only",
    "VLLM_DP_MASTER_PORT": "is for offline data parallelism only",
    "VLLM_HOST_IP": "gives every node the same address",
    "VLLM_PORT": "moves the ports that nodes agree on",
}
"""Variables that vLLM reads, and what each would do when all nodes have the same value."""


def source(config: Config) -> str:
    return f"vLLM {versions.version(config).number}"


@rule
def rules(config: Config) -> Iterator[Check]:
    """Every rule of vLLM's."""
    if config.degrees.factors:
        yield from _round_robin(config)
        yield from _vocabulary(config)
        yield from _experts(config)
        yield from _dense(config)
    yield from _nodes(config)
    yield from _phase(config)
    yield from _service(config)
    yield from flag_rules.rules(config, source(config))
    yield from feature_rules.rules(config, source(config))
    yield from attention_rules.rules(config, source(config))
    yield from pass_rules.rules(config, source(config))
    yield from quantized.rules(config, source(config), ALIASES)
    yield from blocks.rules(config, source(config), _over(config))
    yield from serving.common(config, source(config), ("--model",), positional=True)
    yield from serving.environment(config, VARIABLES)
    yield from versions.checked(config)


def _over(config: Config) -> blocks.Over:
    """MLPs are cut over tp; where tokens are too, shared experts are whole (sequence parallelism beside expert parallelism)."""
    degrees = config.degrees
    split = expert_parallel(config) and degrees.tp > 1 and degrees.adp > 1
    return blocks.Over(degrees.tp, 1 if split else degrees.tp, "tp")


@rule
def _round_robin(config: Config) -> Iterator[Check]:
    """The silent fall-back of `determine_expert_placement_strategy`."""
    layout = config.framework.expert_layout
    yield check(
        "vllm-expert-layout",
        holds=layout in (None, "linear", "round_robin"),
        observed=layout,
        limit="linear, round_robin",
        message=f"framework.expert_layout={layout} is none of {source(config)}'s --expert-placement-strategy",
        fix="write framework.expert_layout=linear or framework.expert_layout=round_robin",
    )
    if layout == "round_robin":
        reasons = ["expert parallelism is off"] * (not expert_parallel(config)) or round_robin_obstacles(config)
        yield check(
            "vllm-round-robin",
            holds=not reasons,
            observed=", ".join(reasons) or "round_robin",
            limit="round_robin",
            message=f"{source(config)} expert_map_manager.py deals experts out "
            + (f"linearly in spite of round_robin: {', '.join(reasons)}" if reasons else "in turn"),
            fix="write framework.expert_layout=linear, or use a model with expert groups and all2all-backend deepep_low_latency",
            otherwise=Status.WARN,
        )


@rule
def _vocabulary(config: Config) -> Iterator[Check]:
    """Refused when the embedding is built, after the weights were found (`vocab_parallel_embedding.py divide`)."""
    tp, vocabulary = config.degrees.tp, config.model.vocab_size
    rows = -(-vocabulary // VOCABULARY_ROWS) * VOCABULARY_ROWS
    yield check(
        "vllm-vocabulary",
        holds=rows % tp == 0,
        observed=f"{rows} % {tp} = {rows % tp}",
        limit="0",
        message=f"{source(config)} pads vocab_size {vocabulary} to {rows} rows, a multiple of {VOCABULARY_ROWS}, and tp={tp} "
        f"gives {rows / tp:g} each",
        fix=f"write tp as a divisor of {rows}, a power of 2 up to 64 always is",
    )


@rule
def _experts(config: Config) -> Iterator[Check]:
    """Experts spread over all of tp*cp*adp, whole (EP) or cut (TP): there is no degree between (`fused_moe/config.py`)."""
    degrees, width = config.degrees, stage_width(config.degrees)
    if not config.model.moe:
        return
    product = f"tp{degrees.tp} x cp{degrees.cp} x adp{degrees.adp} = {width}"
    fixes = alternatives(config)
    yield check(
        "vllm-expert-parallel",
        holds=expressible(degrees),
        observed=f"ep={degrees.ep} etp={degrees.etp} edp={degrees.edp}",
        limit=f"ep={width} etp=1, or ep=1 etp={width}",
        message=f"{source(config)} parallel_state.py spreads experts over all ranks of a stage of an instance, {product}: "
        f"ep={width} with etp=1 (--enable-expert-parallel), or ep=1 with etp={width}; "
        f"the plan has ep={degrees.ep} etp={degrees.etp} edp={degrees.edp}",
        fix="write " + " or ".join(fixes) if fixes else "choose degrees with ep = tp*cp*adp and etp=1",
    )


def alternatives(config: Config) -> list[str]:
    """Overrides that vLLM can express, nearest first: ep kept and instances made, experts over the stage, experts cut."""
    degrees, model, width = config.degrees, config.model, stage_width(config.degrees)
    keep: list[str] = []
    replicas, rest = divmod(width, degrees.ep)
    ranks = degrees.world_size // max(replicas, 1)
    if (
        degrees.ep > 1
        and not rest
        and degrees.ep % (degrees.tp * degrees.cp) == 0
        and whole(ranks, config.hardware.node.gpus)
    ):
        adp = degrees.ep // (degrees.tp * degrees.cp)
        keep = [f"parallel.dp=null parallel.adp={adp} parallel.etp=1{apart(config, ranks, replicas)}"]
    spread = [f"parallel.dp=null parallel.adp={degrees.adp} parallel.ep={width} parallel.etp=1"]
    cut = [f"parallel.dp=null parallel.adp={degrees.adp} parallel.ep=1 parallel.etp={width}"]
    spread, cut = spread * (model.num_experts % width == 0), cut * (model.expert_size % width == 0)
    return [*keep, *spread, *cut] if degrees.ep > 1 else [*cut, *spread]


@rule
def _dense(config: Config) -> Iterator[Check]:
    """`reconfigure_for_independent_dp_rank`: each DP rank of a dense model is a world of its own, with ranks from 0."""
    adp = config.degrees.adp
    if config.model.moe:
        return
    yield check(
        "vllm-dense-data-parallel",
        holds=adp == 1,
        observed=f"adp={adp}",
        limit="adp=1",
        message=f"{source(config)} v1/engine/core.py makes each of the {adp} DP ranks of a dense model a world of its own: "
        f"no group and no RANK would be as in a plan of {config.degrees.world_size} ranks",
        fix=f"write parallel.dp=null parallel.adp=1{apart(config, config.degrees.world_size // adp, adp)}",
    )


@rule
def _nodes(config: Config) -> Iterator[Check]:
    """A replica fills whole nodes or an equal part of one (`nnodes_within_dp`, `local_world_size`)."""
    degrees, gpus = config.degrees, share(config).ranks
    replica = degrees.tp * degrees.cp * degrees.pp
    yield check(
        "vllm-nodes",
        holds=whole(replica, gpus),
        observed=f"{replica} ranks",
        limit=f"{gpus} GPUs a node",
        message=f"{source(config)} config/parallel.py puts a replica on whole nodes or on an equal part of one: "
        f"tp{degrees.tp} x cp{degrees.cp} x pp{degrees.pp} = {replica} ranks on nodes of {gpus} GPUs",
        fix=f"choose tp*cp*pp as a divisor or a multiple of {gpus}",
    )
    yield check(
        "vllm-unit",
        holds=config.launch.unit != "rank",
        observed=config.launch.unit or "node",
        limit="node",
        message=f"{source(config)} starts the ranks of a node itself, and launch.unit=rank would start a server for each",
        fix="leave launch.unit out",
    )


@rule
def _phase(config: Config) -> Iterator[Check]:
    """NIXL's connector takes KV caches without prefill context parallelism only (`kv_connector/v1/nixl/connector.py`)."""
    if transfers_by_nixl(config) and config.workload.role == "decode":
        yield check(
            "vllm-decode-context",
            holds=config.degrees.cp == 1,
            observed=f"cp={config.degrees.cp}",
            limit="cp=1",
            message=f"{source(config)} nixl/connector.py raises NotImplementedError where a server that decodes has cp above 1",
            fix="write degrees without cp for workload.pools.decode, or a connector of your own as --kv-transfer-config in its args",
        )


@rule
def _service(config: Config) -> Iterator[Check]:
    """Kubernetes gives pods VLLM_PORT=tcp://... where a Service is called vllm."""
    if "kubernetes_job" in config.scheduler:
        name = config.plan_name.lower().strip("-_.")
        yield check(
            "vllm-service-name",
            holds=name != "vllm",
            observed=config.plan_name,
            limit="another name",
            message=f"a Service named {name} makes Kubernetes set {name.upper().replace('-', '_')}_PORT in every pod; "
            f"{source(config)} reads VLLM_PORT as a number",
            fix="write another name=...",
        )
