"""States and activations in the host's memory, and attention, as far as torchtitan can be asked for them."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.checks import Check, check
from compiler.frameworks.torchtitan.arguments import known_model
from compiler.specs.config import Config


def declared(config: Config) -> Iterator[Check]:
    workload = config.workload
    if not workload.train:
        return
    if workload.optimizer_offload:
        yield from optimizer(config)
    if workload.activation_offload:
        yield check(
            "torchtitan-activation-offload",
            False,
            f"{workload.activation_offload:g}",
            "0",
            "torchtitan 0.3 distributed/activation_checkpoint.py keeps activations on the GPU or recomputes them; "
            f"workload.activation_offload={workload.activation_offload:g}",
            "leave workload.activation_offload out",
        )
    if not workload.fused_attention:
        yield attention(config)


def optimizer(config: Config) -> Iterator[Check]:
    """FSDP's CPUOffloadPolicy has no fraction, and no states without their parameters."""
    part = config.workload.optimizer_offload
    yield check(
        "torchtitan-optimizer-offload",
        part == 1,
        f"{part:g}",
        "0 or 1",
        "torchtitan 0.3 distributed/fsdp.py offloads all of a rank's shards or none (CPUOffloadPolicy); "
        f"workload.optimizer_offload={part:g}",
        "write workload.optimizer_offload=1, or leave it out",
    )
    yield check(
        "torchtitan-parameters-offload",
        False,
        "parameters, gradients, optimizer",
        "optimizer",
        "torchtitan 0.3 config/configs.py enable_cpu_offload sends parameters and gradients to the host with the optimizer: "
        "memory is below what the plan counts, and there is more to move",
        "take times for bounds, or leave workload.optimizer_offload out",
        otherwise="warn",
    )


def attention(config: Config) -> Check:
    """Registered models are built with FlexAttention or VarlenAttention; another config is the user's."""
    row = known_model(config)
    found = "a kernel of the model's own config" if row is None else str(row.get("attention", "flex"))
    return check(
        "torchtitan-attention",
        False,
        found,
        "scores that are kept",
        f"torchtitan 0.3 models/common/attention.py: the model's attention is {found}, and workload.fused_attention=false",
        "leave workload.fused_attention out",
        otherwise="warn" if row is None else "fail",
    )
