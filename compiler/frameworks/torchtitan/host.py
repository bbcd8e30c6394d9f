"""States and activations in the host's memory, and attention, as far as torchtitan can be asked for them."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, Status, check, failed, rule, warned
from compiler.frameworks.torchtitan.arguments import known_model
from compiler.specs.config import Config


@rule
def declared(config: Config) -> Iterator[Check]:
    workload = config.workload
    if not workload.train:
        return
    if workload.optimizer_offload:
        yield from optimizer(config)
    if workload.activation_offload:
        yield failed(
            "torchtitan-activation-offload",
            observed=f"{workload.activation_offload:g}",
            limit="0",
            message="torchtitan 0.3 distributed/activation_checkpoint.py keeps activations on the GPU or recomputes them; "
            f"workload.activation_offload={workload.activation_offload:g}",
            fix="leave workload.activation_offload out",
        )
    if not workload.fused_attention:
        yield attention(config)


@rule
def optimizer(config: Config) -> Iterator[Check]:
    """FSDP's CPUOffloadPolicy has no fraction, and no states without their parameters."""
    part = config.workload.optimizer_offload
    yield check(
        "torchtitan-optimizer-offload",
        holds=part == 1,
        observed=f"{part:g}",
        limit="0 or 1",
        message="torchtitan 0.3 distributed/fsdp.py offloads all of a rank's shards or none (CPUOffloadPolicy); "
        f"workload.optimizer_offload={part:g}",
        fix="write workload.optimizer_offload=1, or leave it out",
    )
    yield warned(
        "torchtitan-parameters-offload",
        observed="parameters, gradients, optimizer",
        limit="optimizer",
        message="torchtitan 0.3 config/configs.py enable_cpu_offload sends parameters and gradients to the host with the optimizer: "
        "memory is below what the plan counts, and there is more to move",
        fix="take times for bounds, or leave workload.optimizer_offload out",
    )


def attention(config: Config) -> Check:
    """Registered models are built with FlexAttention or VarlenAttention; another config is the user's."""
    row = known_model(config)
    found = "a kernel of the model's own config" if row is None else str(row.get("attention", "flex"))
    return check(
        "torchtitan-attention",
        holds=False,
        observed=found,
        limit="scores that are kept",
        message=f"torchtitan 0.3 models/common/attention.py: the model's attention is {found}, and workload.fused_attention=false",
        fix="leave workload.fused_attention out",
        otherwise=Status.WARN if row is None else Status.FAIL,
    )
