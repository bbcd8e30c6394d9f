"""What DeepSpeed refuses, does silently wrong or leaves to the script: degrees, pipeline and the launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from compiler.checks import Check, Status, check, rule, warned
from compiler.frameworks.deepspeed import described, emit, experts, host, layout, ulysses, zero
from compiler.frameworks.deepspeed.layout import named
from compiler.frameworks.versions import checked
from compiler.layout.grid import Grid
from compiler.specs.config import Config
from compiler.specs.degrees import DEFAULT_ORDER


@rule
def declared(config: Config, written: tuple[Grid, Grid]) -> Iterator[Check]:
    """Every rule. `written` are the grids that `parallel.order` asks for."""
    yield from checked(config)
    yield from order(config, written)
    for each in RULES:
        yield from each(config)
    if config.model.moe:
        yield from experts.declared(config)
        yield from described.declared(config)


@rule
def order(config: Config, written: tuple[Grid, Grid]) -> Iterator[Check]:
    """The topology has one order, and only experts have a choice, which expert_layout makes."""
    ours = (layout.attention_grid(config.degrees), layout.expert_grid(config))
    same = all(
        theirs is None or all(theirs.strides(name) == grid.strides(name) for name in grid.names)
        for grid, theirs in zip(written, ours, strict=True)
    )
    yield check(
        "deepspeed-order",
        holds=config.parallel.order == DEFAULT_ORDER or same,
        observed=config.parallel.order,
        limit="pipe, data, model",
        message=f"{named(config)} runtime/pipe/topology.py orders ranks as pipe x data x model, model fastest, and experts as "
        f"framework.expert_layout={layout.chosen(config).name} says; parallel.order={config.parallel.order}",
        fix=f"write parallel.order={DEFAULT_ORDER}, and choose framework.expert_layout",
    )


@rule
def virtual(config: Config) -> Iterator[Check]:
    """Stages are one piece a rank, and one schedule runs them."""
    vpp, schedule = config.degrees.vpp, config.workload.schedule
    yield check(
        "deepspeed-vpp",
        holds=vpp == 1,
        observed=f"vpp={vpp}",
        limit="vpp=1",
        message=f"{named(config)} runtime/pipe/module.py gives each stage one run of layers; vpp={vpp}",
        fix="leave vpp out",
    )
    if config.workload.train and config.degrees.pp > 1:
        yield check(
            "deepspeed-schedule",
            holds=schedule == "1f1b",
            observed=schedule,
            limit="1f1b",
            message=f"{named(config)} runtime/pipe/engine.py runs TrainSchedule, which is 1F1B; workload.schedule={schedule}",
            fix="write workload.schedule=1f1b",
        )


@rule
def stages(config: Config) -> Iterator[Check]:
    """PipelineModule deals layers out itself, by a method that has no list of counts."""
    parallel, layers = config.parallel, config.model.num_hidden_layers
    if parallel.pp == 1:
        return
    rule = layout.uniform(layers, parallel.pp * parallel.vpp)
    if parallel.stages is not None:
        yield check(
            "deepspeed-stages",
            holds=list(parallel.stages) == rule,
            observed=list(parallel.stages),
            limit=rule,
            message=f"{named(config)} PipelineModule takes no list of layers a stage; its partition_method=uniform gives {rule}, "
            f"parallel.stages says {list(parallel.stages)}",
            fix="leave parallel.stages out",
        )
    yield warned(
        "deepspeed-partition",
        observed="partition_method=parameters",
        limit="uniform",
        message=f"{named(config)} PipelineModule balances parameter counts unless told otherwise, and `uniform` counts every entry of "
        f"its list: stages hold {rule} of the {layers} layers only where the list has those {layers} entries",
        fix="put embedding and head into the first and last entry and pass framework/constructors.json"
        + (
            f", or partition_method=type:<class of a layer>, which splits {layers} layers alike"
            * (not layers % parallel.pp)
        ),
    )


@rule
def precision(config: Config) -> Iterator[Check]:
    name = config.workload.precision
    yield check(
        "deepspeed-precision",
        holds=name in ("fp32", "bf16", "fp16"),
        observed=name,
        limit="fp32, bf16, fp16",
        message=f"{named(config)} runtime/config.py knows bf16 and fp16; precision={name} is written as {emit.precision(config) or name}",
        fix="bring the FP8 or FP4 recipe with the model's own layers, or write workload.precision=bf16",
        otherwise=Status.WARN,
    )


@rule
def recompute(config: Config) -> Iterator[Check]:
    """The pipeline can recompute layers; everything else calls deepspeed.checkpointing itself."""
    name, pp = config.workload.recompute, config.degrees.pp
    if config.workload.train and name != "none":
        yield check(
            "deepspeed-recompute",
            holds=name == "full" and pp > 1,
            observed=f"{name}, pp={pp}",
            limit="full with a pipeline",
            message=f"{named(config)} recomputes by itself only whole layers of a PipelineModule; recompute={name} with pp={pp} is "
            "the model's own doing",
            fix="call deepspeed.checkpointing.checkpoint in the model, or write workload.recompute=full and pp2 or more",
            otherwise=Status.WARN,
        )


@rule
def sequence_parallel(config: Config) -> Iterator[Check]:
    """Native MoE takes the tokens of tp ranks as copies of each other; AutoTP never splits the sequence."""
    tp, on = config.degrees.tp, config.sequence_parallel
    if tp == 1 or not config.workload.train:
        return
    if layout.folded(config):
        why = "AutoTP keeps whole sequences on every tp rank"
    elif config.model.moe:
        why = "moe/sharded_moe.py drops the tokens of tp ranks as copies of each other, which they then are not"
    else:
        why = "sequence parallelism is the tp layers' own doing"
    yield check(
        "deepspeed-sequence-parallel",
        holds=not on,
        observed=f"sequence_parallel={on}",
        limit="false",
        message=f"{named(config)}: {why} (tp={tp})",
        fix="write workload.sequence_parallel=false",
        otherwise=Status.FAIL if config.model.moe else Status.WARN,
    )


@rule
def program(config: Config) -> Iterator[Check]:
    """DeepSpeed is a library, and its launcher would start every rank once more."""
    command = config.launch.command
    yield check(
        "deepspeed-program",
        holds=bool(command),
        observed="a command" if command else "none",
        limit="launch.command",
        message=f"{named(config)} is a library without a program"
        + (
            ""
            if command
            else ": the job runs the self-check alone, with its files in framework/; model, data and optimizer are your program's"
        ),
        fix="write launch.command=[python3,train.py]",
        otherwise=Status.WARN,
    )
    name = PurePosixPath(command[0]).name if command else ""
    if config.launch.unit != "node" and name:
        yield check(
            "deepspeed-launcher",
            holds=name not in ("deepspeed", "ds", "torchrun"),
            observed=name,
            limit="the program itself",
            message=f"every rank is started with RANK and LOCAL_RANK of its own; the command starts with {name}",
            fix="write launch.command=[python3,train.py], without a launcher",
        )


@rule
def serving(config: Config) -> Iterator[Check]:
    yield check(
        "deepspeed-serving",
        holds=config.workload.train,
        observed=config.workload.kind,
        limit="train",
        message=f"{named(config)}: these are the groups of its training engine, whose eval_batch() runs them without a KV cache; "
        "init_inference() knows tp and ep alone"
        if not config.workload.train
        else f"{named(config)} trains",
        fix="write workload=train, or choose a serving framework",
        otherwise=Status.WARN,
    )


RULES: tuple[Callable[[Config], Iterator[Check]], ...] = (
    zero.pipeline,
    sequence_parallel,
    zero.plus,
    ulysses.declared,
    virtual,
    stages,
    precision,
    recompute,
    host.states,
    host.activations,
    host.attention,
    program,
    serving,
)
"""Those that DeepSpeed checks late, or never, first."""
