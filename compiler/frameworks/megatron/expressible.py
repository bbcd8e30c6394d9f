"""What Megatron can be asked for at all."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check, failed, rule, warned
from compiler.frameworks.megatron import layout
from compiler.frameworks.megatron.options import given, source
from compiler.specs.config import Config

_UNPLANNED = {
    "--tensor-parallel-num-weight-shards": "adds an axis for weight shards to every group",
    "--expert-tensor-parallel-num-weight-shards": "adds an axis for weight shards to the expert groups",
    "--hybrid-context-parallel": "makes data-parallel groups of every power of two at run time",
    "--inference-shards": "splits the world into models with degrees of their own",
    "--rl-inference-tensor-model-parallel-size": "builds a second model with degrees of its own",
    "--heterogeneous-layers-config-path": "replaces the model layer by layer",
    "--heterogeneous-layers-config-encoded-json": "replaces the model layer by layer",
    "--experimental-attention-variant": "replaces the attention that the plan counts with",
    "--use-mp-args-from-checkpoint-args": "takes the degrees from a checkpoint",
    "--yaml-cfg": "replaces every argument by a file's",
}


@rule
def declared(config: Config) -> Iterator[Check]:
    """Order, arguments, schedule, expert placement and program."""
    yield _order(config)
    yield from _arguments(config)
    yield from _schedule(config)
    if config.framework.expert_layout is not None and config.model.moe:
        given_layout = config.framework.expert_layout
        yield check(
            "megatron-expert-layout",
            holds=given_layout == "linear",
            observed=given_layout,
            limit="linear",
            message=f"framework.expert_layout={given_layout}: {source(config, 'moe_layer.py')} gives ep rank r the experts from r*{config.model.num_experts}/{config.degrees.ep} on, and knows no other placement",
            fix="leave framework.expert_layout out",
        )
    if not config.workload.train:
        yield warned(
            "megatron-serving",
            observed="serve",
            limit="train",
            message="workload.kind=serve starts Megatron's text generation server, which batches by itself; its groups are those of the plan",
            fix="take latencies for bounds, or write workload=train",
        )


def _order(config: Config) -> Check:
    order, module = config.parallel.order, source(config, "training/initialize.py")
    known = f"{layout.DEFAULT} and {layout.MAPPED} (--use-tp-pp-dp-mapping)"
    return check(
        "megatron-order",
        holds=layout.order(config) is not None,
        observed=order,
        limit=known,
        message=f"parallel.order={order}: {module} lays ranks out as {known}; other orders only through its Python API",
        fix=f"write parallel.order={layout.DEFAULT}",
    )


@rule
def _arguments(config: Config) -> Iterator[Check]:
    user = given(config)
    for flag in [flag for flag in _UNPLANNED if flag in user]:
        yield failed(
            "megatron-unplanned",
            observed=flag,
            limit="groups that the plan lists",
            message=f"framework.args: {flag} {_UNPLANNED[flag]}, which no plan of ours describes",
            fix=f"leave {flag} out",
        )
    if "--create-all-gather-group" in user:
        yield check(
            "megatron-all-gather-groups",
            holds=layout.order(config) != layout.MAPPED,
            observed="--create-all-gather-group",
            limit=layout.DEFAULT,
            message=f"{source(config, 'parallel_state.py')} adds a copy of dp_cp and one of edp for all-gathers, laid out as {layout.DEFAULT} whatever the order; the plan does not list them",
            fix=f"write parallel.order={layout.DEFAULT}, or leave --create-all-gather-group out",
        )


@rule
def _schedule(config: Config) -> Iterator[Check]:
    workload, vpp = config.workload, config.degrees.vpp
    if not workload.train:
        return
    yield check(
        "megatron-schedule",
        holds=workload.schedule in ("1f1b", "interleaved"),
        observed=workload.schedule,
        limit="1f1b, or interleaved with vpp",
        message=f"workload.schedule={workload.schedule}: {source(config, 'pipeline_parallel/schedules.py')} runs 1f1b, and interleaves where vpp is above 1 (here {vpp})",
        fix="write workload.schedule=interleaved" if vpp > 1 else "write workload.schedule=1f1b",
    )
