"""What Megatron refuses when it starts: arguments.py, the configuration classes, and parallel_state.py on all ranks."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed, rule, warned
from compiler.frameworks.megatron import layout, switches
from compiler.frameworks.megatron.options import (
    context_levels,
    fully_sharded,
    given,
    needs_one_connection,
    number,
    numbers,
    optimizer,
    optimizer_instances,
    source,
)
from compiler.layout.grid import GroupKind
from compiler.specs.config import Config

CONNECTIONS = "CUDA_DEVICE_MAX_CONNECTIONS"


@rule
def declared(config: Config) -> Iterator[Check]:
    """Rules that stop every rank, some of them only after the processes have met."""
    yield from _mapped(config)
    yield from _instances(config)
    yield from _levels(config)
    yield from _connections(config)
    yield from _checkpoint(config)
    if fully_sharded(config):
        yield from _fully_sharded(config)
    yield from _lengths(config)
    yield from switches.declared(config)


@rule
def _mapped(config: Config) -> Iterator[Check]:
    """Accepted by validate_args, and an AssertionError of initialize_model_parallel."""
    degrees = config.degrees
    if layout.order(config) != layout.MAPPED:
        return
    etp = layout.expert_tensor_parallel(config)
    edp = degrees.tp * degrees.cp * degrees.adp // (etp * degrees.ep)
    yield check(
        "megatron-mapping",
        holds=edp == degrees.adp,
        observed=f"edp={edp}",
        limit=f"adp={degrees.adp}",
        message=f"with pp before dp, {source(config, 'parallel_state.py')} wants expert DP {edp} to be attention DP {degrees.adp}: "
        f"etp*ep = {etp * degrees.ep}, tp*cp = {degrees.tp * degrees.cp}",
        fix=f"write parallel.order={layout.DEFAULT}",
    )


@rule
def _instances(config: Config) -> Iterator[Check]:
    """Replicas of the distributed optimizer cut both data-parallel domains."""
    count, degrees = optimizer_instances(config), config.degrees
    if count == 1:
        return
    etp = layout.expert_tensor_parallel(config)
    dense, expert = degrees.adp * degrees.cp, degrees.tp * degrees.cp * degrees.adp // (etp * degrees.ep)
    uneven = dense % count or expert % count
    runs = GroupKind(((degrees.cp, degrees.tp), (degrees.adp, degrees.tp * degrees.cp * degrees.pp)), ())
    apart = layout.order(config) == layout.MAPPED and layout.sliced(runs, count) is None
    yield check(
        "megatron-optimizer-instances",
        holds=not uneven and not apart and _stage(config) > 0,
        observed=f"adp*cp={dense}, edp={expert}",
        limit=f"multiples of {count}",
        message=f"--num-distributed-optimizer-instances {count} ({source(config, 'parallel_state.py')}) cuts adp*cp = {dense} ranks and edp = {expert}"
        + (", and an instance would hold part of a CP group" if apart and not uneven else "")
        + ("" if _stage(config) else "; it needs workload.distributed_optimizer=true"),
        fix="leave --num-distributed-optimizer-instances out, or write a divisor of both",
    )


@rule
def _levels(config: Config) -> Iterator[Check]:
    sizes, cp = numbers(config, "--hierarchical-context-parallel-sizes"), config.degrees.cp
    kinds = given(config).get("--cp-comm-type", ())
    if sizes:
        shown = "*".join(map(str, sizes))
        yield check(
            "megatron-hierarchical-cp",
            holds=bool(context_levels(config)),
            observed=shown,
            limit=f"cp={cp}",
            message=f"--hierarchical-context-parallel-sizes {' '.join(map(str, sizes))} ({source(config, 'arguments.py')}) must multiply to cp={cp}",
            fix="write sizes whose product is parallel.cp, or leave --hierarchical-context-parallel-sizes out",
        )
    if kinds:
        layers = config.model.num_hidden_layers
        yield check(
            "megatron-cp-comm-type",
            holds=len(kinds) in (1, layers) and ("a2a+p2p" not in kinds or bool(sizes)),
            observed=" ".join(kinds[:3]),
            limit=f"1 or {layers} kinds, a2a+p2p with sizes",
            message=f"--cp-comm-type has {len(kinds)} kinds for {layers} layers ({source(config, 'transformer_config.py')}); a2a+p2p needs --hierarchical-context-parallel-sizes",
            fix="write one kind, or one for each layer, and the sizes for a2a+p2p",
        )


@rule
def _connections(config: Config) -> Iterator[Check]:
    """The variable that orders kernels of one stream behind another's: 1 for tp and cp, anything else for FSDP and UCC."""
    degrees = config.degrees
    needed = needs_one_connection(config)
    unwanted = fully_sharded(config) or given(config).get("--pipeline-model-parallel-comm-backend") == ("ucc",)
    set_ = config.environment.get(CONNECTIONS)
    value = set_ or ("1" if needed else None)
    if not needed and not unwanted:
        return
    yield check(
        "megatron-max-connections",
        holds=(value == "1" if needed else True) and not (unwanted and value == "1"),
        observed=f"{CONNECTIONS}={value}",
        limit="not 1" if unwanted else "1",
        message=f"{CONNECTIONS}={value}, tp={degrees.tp}, cp={degrees.cp}: {source(config, 'arguments.py')} wants 1 for tp or cp before Blackwell, and another value for Megatron-FSDP and for UCC pipelines",
        fix=f"leave {CONNECTIONS} out of launch.environment and site.environment"
        if set_
        else "leave --pipeline-model-parallel-comm-backend ucc out",
    )


def _stage(config: Config) -> int:
    """ZeRO stage; the distributed optimizer is 1."""
    return max(config.workload.zero_stage, int(config.workload.distributed_optimizer)) if config.workload.train else 0


@rule
def _checkpoint(config: Config) -> Iterator[Check]:
    """Megatron-FSDP writes checkpoints of its own format."""
    stage, sharded, module = config.workload.zero_stage, fully_sharded(config), source(config, "arguments.py")
    for name in given(config).get("--ckpt-format", ())[-1:]:
        yield check(
            "megatron-checkpoint-format",
            holds=name == "fsdp_dtensor" if sharded else name not in ("fsdp_dtensor", "torch_dcp"),
            observed=name,
            limit="fsdp_dtensor with workload.zero_stage 2 or 3, torch or torch_dist without",
            message=f"--ckpt-format {name} with workload.zero_stage={stage}: {module} ties fsdp_dtensor to Megatron-FSDP, and torch_dcp to torch's",
            fix=f"write --ckpt-format {'fsdp_dtensor' if sharded else 'torch_dist'}",
        )


@rule
def _fully_sharded(config: Config) -> Iterator[Check]:
    """It knows two optimizers, and has meshes of its own."""
    stage = config.workload.zero_stage
    name = optimizer(config)
    if name != "adam":
        yield check(
            "megatron-optimizer",
            holds=name == "sgd",
            observed=name,
            limit="sgd or adam",
            message=f"--optimizer {name} with workload.zero_stage={stage}: Megatron-FSDP knows sgd and adam ({source(config, 'arguments.py')})",
            fix="write workload.optimizer=adam, or workload.zero_stage=1",
        )
    yield warned(
        "megatron-fsdp",
        observed=f"zero_stage={stage}",
        limit="0 or 1",
        message=f"workload.zero_stage={stage} is Megatron-FSDP ({source(config, 'distributed/fsdp')}), which lays meshes of its own over the plan's dp_cp and edp",
        fix="expect those groups beside the plan's, or write workload.zero_stage=1",
    )


@rule
def _lengths(config: Config) -> Iterator[Check]:
    """Positions reach the end of a sequence, and evaluation batches divide as training ones do."""
    workload, adp = config.workload, config.degrees.adp
    length = workload.longest + (0 if workload.train else workload.output_length)
    positions = number(config, "--max-position-embeddings", length)
    if positions < length:
        yield failed(
            "megatron-positions",
            observed=positions,
            limit=length,
            message=f"--max-position-embeddings {positions} is below the sequence of {length} tokens ({source(config, 'arguments.py')})",
            fix=f"write --max-position-embeddings {length}, or leave it out",
        )
    batch = number(config, "--eval-global-batch-size", workload.global_batch_size)
    step = number(config, "--eval-micro-batch-size", workload.micro_batch_size) * adp
    # without options of their own the plan's batch is theirs
    own = {"--eval-global-batch-size", "--eval-micro-batch-size"} & given(config).keys()
    if workload.train and own and batch % step:
        yield failed(
            "megatron-eval-batch",
            observed=f"{batch} % {step} = {batch % step}",
            limit="0",
            message=f"an evaluation batch of {batch} over adp={adp} and micro-batches is {batch / step:g} each ({source(config, 'arguments.py')})",
            fix=f"write --eval-global-batch-size {-(-batch // step) * step}",
        )
