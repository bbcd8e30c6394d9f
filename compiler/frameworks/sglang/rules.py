"""What SGLang refuses of degrees, layout and places, from the configuration alone; late or silent troubles first."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.blocks.stack import stack
from compiler.checks import Check, Status, check, rule
from compiler.cluster.share import share
from compiler.frameworks import blocks, quantized, serving, versions
from compiler.frameworks.serving import apart, context_length, stage_width, whole
from compiler.frameworks.sglang import device_rules, flag_rules, pass_rules
from compiler.frameworks.sglang.arguments import ALIASES, backend, given
from compiler.frameworks.sglang.checkpoint import longest
from compiler.specs.config import Config
from compiler.specs.weights import WIDE

LONGER = "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"
VARIABLES = {
    "SGLANG_PP_LAYER_PARTITION": "cuts layers past the plan: write parallel.stages",
    "SGLANG_DISTRIBUTED_INIT_METHOD_OVERRIDE": "makes nodes meet elsewhere than at the plan's MASTER_ADDR",
    "SGLANG_ONE_VISIBLE_DEVICE_PER_PROCESS": "changes which GPU a rank sees",
    "SGLANG_PORT": "gives servers that share a node the same port",
}
"""Variables that SGLang reads, and what each would do when all nodes have the same value."""


def source(config: Config) -> str:
    return f"SGLang {versions.version(config).number}"


@rule
def rules(config: Config) -> Iterator[Check]:
    """Every rule of SGLang's."""
    if config.degrees.factors:
        yield from _nodes(config)
        yield from _dense_layers(config)
        yield from _expert_data(config)
        yield from _dense(config)
        yield from _state_groups(config)
        yield from flag_rules.rules(config, source(config))
        yield from pass_rules.rules(config, source(config))
        yield from device_rules.rules(config, source(config))
    yield from _launch(config)
    yield from _length(config)
    yield from _nothing(config)
    yield from quantized.rules(config, source(config), ALIASES)
    yield from blocks.rules(config, source(config), _over(config))
    yield from serving.common(config, source(config), ("--model-path", "--model"))
    yield from serving.environment(config, VARIABLES)
    yield from versions.checked(config)


@rule
def _nodes(config: Config) -> Iterator[Check]:
    """A stage fills whole nodes or an equal part of one; else `_calculate_rank_ranges` starts some ranks nowhere."""
    width, own = stage_width(config.degrees), share(config)
    nodes, gpus = own.nodes, own.ranks
    yield check(
        "sglang-nodes",
        holds=nodes == 1 or whole(width, gpus),
        observed=f"{width} ranks",
        limit=f"{gpus} GPUs a node",
        message=f"{source(config)} entrypoints/engine.py puts a stage on whole nodes or on an equal part of one, and starts other "
        f"ranks nowhere: {width} ranks a stage, pp={config.degrees.pp}, {nodes} nodes of {gpus} GPUs",
        fix=f"choose tp*cp*adp as a divisor or a multiple of {gpus}",
    )


def _over(config: Config) -> blocks.Over:
    """A stage shares MLPs, or each rank has them whole; an all-to-all back end keeps shared experts whole."""
    args, width = given(config), stage_width(config.degrees)
    whole_mlp, apart_experts = args.get("--moe-dense-tp-size") == "1", backend(args) != "none"
    fixes = {
        "mlp": "add --moe-dense-tp-size=1 to framework.args, or make a stage smaller",
        "shared_experts": "add --moe-a2a-backend=deepep to framework.args, or make a stage smaller",
    }
    return blocks.Over(1 if whole_mlp else width, 1 if apart_experts else width, "tp*cp*adp", fixes)


@rule
def _dense_layers(config: Config) -> Iterator[Check]:
    """MLP layers without experts, and shared experts, are cut over the whole stage; a remainder fails in the model."""
    model, width = config.model, stage_width(config.degrees)
    args = given(config)
    dense = model.intermediate_size and not all(model.moe_layers)
    if dense and args.get("--moe-dense-tp-size") != "1":
        yield check(
            "sglang-dense-layers",
            holds=model.intermediate_size % width == 0,
            observed=f"{model.intermediate_size} % {width} = {model.intermediate_size % width}",
            limit="0",
            message=f"{source(config)} cuts intermediate_size {model.intermediate_size} of dense layers over the {width} ranks of a "
            f"stage, not over tp={config.degrees.tp}: {model.intermediate_size / width:g} each",
            fix="add --moe-dense-tp-size=1 to framework.args, or make a stage smaller",
        )
    if model.moe and model.shared_size and backend(args) == "none":
        yield check(
            "sglang-shared-experts",
            holds=model.shared_size % width == 0,
            observed=f"{model.shared_size} % {width} = {model.shared_size % width}",
            limit="0",
            message=f"{source(config)} cuts shared experts of width {model.shared_size} over the {width} ranks of a stage: "
            f"{model.shared_size / width:g} each",
            fix=f"choose tp*cp*adp as a divisor of {model.shared_size}, or an all-to-all back end, which keeps them whole",
            otherwise=Status.WARN,
        )


@rule
def _state_groups(config: Config) -> Iterator[Check]:
    """Groups of Mamba-2 that are fewer than ranks are copied, but for quantised weights: an assertion of its mixer."""
    tp, model, precision = config.degrees.tp, config.model, config.workload.precision
    blocks_of = dict.fromkeys(block for layer in stack(model).layers for block in layer if block.kind == "mamba2")
    for groups in dict.fromkeys(part.pieces for block in blocks_of for part in block.state):
        if model.keeps_quantization(precision) or precision not in WIDE:
            yield check(
                "sglang-state-groups",
                holds=groups % tp == 0,
                observed=f"{groups} % {tp} = {groups % tp}",
                limit="0",
                message=f"{source(config)} layers/attention/mamba/mamba.py cuts quantised weights over tp={tp} alone where that "
                f"divides their heads and groups: Mamba-2 has {groups}",
                fix=f"write degrees whose tp divides {groups}, or weights that are not quantised",
            )


@rule
def _expert_data(config: Config) -> Iterator[Check]:
    """`--moe-dp-size`: copies of the experts inside one instance, which go with context parallelism only."""
    degrees, width = config.degrees, stage_width(config.degrees)
    if not config.model.moe:
        return
    block = degrees.ep * degrees.edp
    wrong = (
        []
        if degrees.edp == 1
        else [
            *[f"attn_cp_size={degrees.cp}"] * (degrees.cp != degrees.edp),
            *[f"pp_size={degrees.pp}"] * (degrees.pp > 1),
            *[f"ep_size*moe_dp_size={block}"] * (degrees.ep > 1 and block != width),
        ]
    )
    fixes = alternatives(config)
    yield check(
        "sglang-expert-data-parallel",
        holds=not wrong,
        observed=f"edp={degrees.edp}" + (f" with {', '.join(wrong)}" if wrong else ""),
        limit=f"edp=1, or edp=cp with pp=1 and ep*edp={width}",
        message=f"{source(config)} arg_groups/parallel_hook.py: tp_size is a stage of tp{degrees.tp} x cp{degrees.cp} x "
        f"adp{degrees.adp} = {width} ranks, with etp{degrees.etp} x ep{degrees.ep} x edp{degrees.edp} for experts; "
        "moe_dp_size above 1 wants attn_cp_size equal to it, pp_size=1 and, with ep_size above 1, "
        f"ep_size*moe_dp_size={width}",
        fix="write " + " or ".join(fixes) if fixes else f"choose degrees with etp*ep = tp*cp*adp, now {width}",
    )


def alternatives(config: Config) -> list[str]:
    """Overrides that SGLang can express: the copies as instances, or more cuts of each expert instead."""
    degrees, width = config.degrees, stage_width(config.degrees)
    adp, rest = divmod(degrees.adp, degrees.edp)
    ranks = degrees.world_size // degrees.edp
    copies, cut = [], []
    if not rest and whole(ranks, config.hardware.node.gpus):
        more = apart(config, ranks, degrees.edp)
        copies = [f"parallel.dp=null parallel.adp={adp} parallel.etp={degrees.etp}{more}"]
    etp, rest = divmod(width, degrees.ep)
    if not rest and config.model.expert_size % etp == 0:
        cut = [f"parallel.dp=null parallel.adp={degrees.adp} parallel.etp={etp}"]
    return [*copies, *cut]


@rule
def _dense(config: Config) -> Iterator[Check]:
    """Attention DP cuts the MLP over the whole stage, so that a dense model has no tp of its own there."""
    degrees = config.degrees
    if config.model.moe:
        return
    yield check(
        "sglang-dense-data-parallel",
        holds=degrees.adp == 1,
        observed=f"adp={degrees.adp}",
        limit="adp=1",
        message=f"{source(config)} --attn-dp-size={degrees.adp} would cut a dense model's MLP over all {stage_width(degrees)} ranks of "
        f"a stage, not over tp={degrees.tp}, and --dp-size is for one node only",
        fix=f"write parallel.dp=null parallel.adp=1{apart(config, degrees.world_size // degrees.adp, degrees.adp)}",
    )


@rule
def _length(config: Config) -> Iterator[Check]:
    """Requests longer than the checkpoint's positions, which it stops at."""
    tokens, most = context_length(config), longest(config.model)
    variables = {**config.site.environment, **config.launch.environment}
    if most is not None:
        yield check(
            "sglang-context-length",
            holds=tokens <= most or variables.get(LONGER, "").lower() in ("1", "true", "yes"),
            observed=f"{tokens} tokens",
            limit=f"{most} tokens",
            message=f"{source(config)} configs/model_config.py stops at --context-length={tokens} of a model of {most} positions: prompts of "
            f"{config.workload.longest} tokens and answers of {config.workload.output_length}",
            fix=f"write launch.environment.{LONGER}=1, or shorter workload.sequence_lengths",
        )


@rule
def _nothing(config: Config) -> Iterator[Check]:
    """A checkpoint of ModelOpt's that has scales of the cache alone."""
    quantization = config.model.quantization
    if (quantization.method or "").startswith("modelopt"):
        yield check(
            "sglang-quantization-none",
            holds=bool(quantization.weights),
            observed=f"{len(quantization.weights)} classes",
            limit="1 or more",
            message=f"{source(config)} layers/quantization/modelopt_quant.py stops at a checkpoint of {quantization.method} that has no quant_algo "
            "of its weights",
            fix="start the checkpoint without its quantization_config, and write workload.kv_cache_precision=fp8",
        )


@rule
def _launch(config: Config) -> Iterator[Check]:
    layout = config.framework.expert_layout
    yield check(
        "sglang-expert-layout",
        holds=layout in (None, "trivial"),
        observed=layout,
        limit="trivial",
        message=f"framework.expert_layout={layout}: where {source(config)} puts experts with another --init-expert-location than "
        "trivial is not known when a plan is made",
        fix="leave framework.expert_layout out",
    )
    yield check(
        "sglang-unit",
        holds=config.launch.unit != "rank",
        observed=config.launch.unit or "node",
        limit="node",
        message=f"{source(config)} starts the ranks of a node itself, and launch.unit=rank would start a server for each",
        fix="leave launch.unit out",
    )
