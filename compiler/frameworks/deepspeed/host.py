"""States and activations in the host's memory, and attention, as far as DeepSpeed has a say in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compiler.checks import Check, Status, check, rule, warned
from compiler.frameworks.deepspeed import layout
from compiler.frameworks.deepspeed.json_args import given
from compiler.specs.config import Config


def zero(config: Config) -> dict[str, Any]:
    """Keys of `zero_optimization`; `ratio` counts sub-groups of a rank's shard."""
    part = config.workload.optimizer_offload if config.workload.train else 0.0
    return {"offload_optimizer": {"device": "cpu", "ratio": part}} if part else {}


def checkpointing(config: Config) -> dict[str, Any]:
    """The section `activation_checkpointing`: checkpoints, which are the inputs of layers, go to the host."""
    asked = config.workload.train and config.workload.activation_offload
    return {"activation_checkpointing": {"cpu_checkpointing": True}} if asked else {}


@rule
def states(config: Config) -> Iterator[Check]:
    """An AssertionError of DeepSpeedConfig, or without ZeRO nothing at all."""
    workload, part = config.workload, config.workload.optimizer_offload
    if not workload.train or not part:
        return
    stage = max(workload.zero_stage, int(workload.distributed_optimizer))
    yield check(
        "deepspeed-optimizer-offload",
        holds=stage == 3 or (stage > 0 and part == 1),
        observed=f"ZeRO {stage}, {part:g}",
        limit="ZeRO 1 and 2 with 1, ZeRO 3 with any part",
        message=f"{layout.named(config)} runtime/zero/offload_config.py offloads the optimizer with ZeRO 1, 2 and 3, and a part of it with "
        f"ZeRO 3 alone (ratio); optimizer_offload={part:g} with zero_stage={stage}",
        fix="write workload.optimizer_offload=1, or leave it out"
        if stage
        else "write workload.zero_stage=1 and workload.optimizer_offload=1",
    )
    said = given(config)
    ours = any(key.partition(".")[0] == "optimizer" for key in said)
    yield check(
        "deepspeed-offloaded-adam",
        holds=ours or said.get("zero_force_ds_cpu_optimizer") is False,
        observed="the program's own optimizer",
        limit="DeepSpeedCPUAdam",
        message=f"{layout.named(config)} runtime/engine.py runs an offloaded optimizer of ds_config.json, or DeepSpeedCPUAdam and "
        "DeepSpeedCPULion where the program makes one; any other is a ZeRORuntimeException",
        fix="make deepspeed.ops.adam.DeepSpeedCPUAdam in the program, or write framework.args=[--json.optimizer.type=AdamW,...]",
        otherwise=Status.WARN,
    )


@rule
def activations(config: Config) -> Iterator[Check]:
    """Checkpoints alone can go there, and only where the program hands the file to deepspeed.checkpointing."""
    workload, part = config.workload, config.workload.activation_offload
    if not workload.train or not part:
        return
    yield check(
        "deepspeed-activation-offload",
        holds=workload.recompute == "full" and part == 1,
        observed=f"{part:g}, recompute={workload.recompute}",
        limit="1, recompute=full",
        message=f"{layout.named(config)} runtime/activation_checkpointing/checkpointing.py sends all checkpoints of recomputed layers to the "
        f"host, or none (cpu_checkpointing); activation_offload={part:g} with recompute={workload.recompute}",
        fix="leave workload.activation_offload out, or write workload.activation_offload=1 and workload.recompute=full",
    )
    yield warned(
        "deepspeed-checkpointing-configured",
        observed="cpu_checkpointing",
        limit="deepspeed.checkpointing.configure",
        message=f"{layout.named(config)} reads activation_checkpointing.cpu_checkpointing of ds_config.json only where the program calls "
        "deepspeed.checkpointing.configure",
        fix="call deepspeed.checkpointing.configure(mpu, deepspeed_config=ds_config.json) in the program",
    )


@rule
def attention(config: Config) -> Iterator[Check]:
    if config.workload.train and not config.workload.fused_attention:
        yield warned(
            "deepspeed-attention",
            observed="fused_attention=false",
            limit="the model's own attention",
            message=f"{layout.named(config)} replaces no attention in training: fused_attention=false is the model's own doing",
            fix="build the model with an attention that keeps its scores, or leave workload.fused_attention out",
        )
