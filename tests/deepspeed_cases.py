"""Plans that break a rule of DeepSpeed's: what they change, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compiler.specs.config import Config
from tests.configs import changed
from tests.deepspeed_configs import DENSE, FOLDED, TRAIN, ULYSSES, WHOLE

CASES: list[tuple[str, Config, Mapping[str, Any], str, str, str]] = [
    ("framework-version", TRAIN, {"framework.version": "0.3.1"}, "warn", "deepspeed 0.3.1", "framework.version=0.19.8"),
    (
        "deepspeed-order",
        TRAIN,
        {"parallel.order": "tp-cp-ep-pp-dp"},
        "fail",
        "pipe x data x model",
        "write parallel.order=tp-cp",
    ),
    (
        "deepspeed-cp",
        TRAIN,
        {"parallel.cp": 2},
        "fail",
        "for dense models without tp and pp; cp=2",
        "parallel.cp=1 and 2 times the dp",
    ),
    (
        "deepspeed-cp",
        ULYSSES,
        {"framework.version": "0.16.9"},
        "fail",
        "Ulysses, from 0.17 on",
        "parallel.cp=1 and 4 times the dp",
    ),
    (
        "deepspeed-ulysses-heads",
        ULYSSES,
        {"parallel.cp": 64, "parallel.adp": 1},
        "fail",
        "deals 32 heads and 8 of keys and values to cp=64",
        "write a divisor of 8 in parallel.cp",
    ),
    (
        "deepspeed-ulysses-sequence",
        ULYSSES,
        {"workload.sequence_length": 4098},
        "fail",
        "cuts sequences of 4098 tokens into cp=4 pieces",
        "write workload.sequence_length=4100",
    ),
    (
        "deepspeed-ulysses-program",
        DENSE,
        {"parallel.cp": 4, "parallel.adp": 64, "parallel.pp": 1, "parallel.tp": 4},
        "warn",
        "hands what that returns to initialize() as mpu",
        "launch.command",
    ),
    ("deepspeed-vpp", TRAIN, {"parallel.vpp": 2}, "fail", "one run of layers; vpp=2", "leave vpp out"),
    (
        "deepspeed-schedule",
        TRAIN,
        {"workload.schedule": "zero_bubble"},
        "fail",
        "TrainSchedule, which is 1F1B",
        "=1f1b",
    ),
    (
        "deepspeed-stages",
        TRAIN,
        {"parallel.stages": [1, 5, 5, 5]},
        "fail",
        "gives [4, 4, 4, 4]",
        "leave parallel.stages",
    ),
    ("deepspeed-zero-pipeline", TRAIN, {"workload.zero_stage": 2}, "fail", "zero_stage=2 with pp=4", "zero_stage=1"),
    (
        "deepspeed-zero-plus",
        changed(DENSE, {"parallel.tp": 1, "framework.args": ["--json.zero_optimization.zero_hpz_partition_size=8"]}),
        {"parallel.tp": 8},
        "fail",
        "blocks of 8 for zero_hpz_partition_size, tp ranks (tp=8) included",
        "leave --json.zero_optimization.zero_hpz_partition_size out",
    ),
    (
        "deepspeed-zero-plus",
        changed(
            DENSE, {"parallel.tp": 1, "framework.args": ["--json.zero_optimization.zero_quantized_gradients=true"]}
        ),
        {"parallel.tp": 2},
        "fail",
        "blocks of 8 for zero_quantized_gradients",
        "tp1",
    ),
    ("deepspeed-precision", TRAIN, {"workload.precision": "fp8"}, "warn", "fp8 is written as bf16", "precision=bf16"),
    (
        "deepspeed-recompute",
        TRAIN,
        {"workload.recompute": "selective"},
        "warn",
        "recompute=selective",
        "recompute=full",
    ),
    (
        "deepspeed-recompute",
        changed(TRAIN, {"workload.recompute": "full"}),
        {"parallel.pp": 1},
        "warn",
        "recompute=full with pp=1",
        "deepspeed.checkpointing.checkpoint",
    ),
    (
        "deepspeed-sequence-parallel",
        TRAIN,
        {"workload.sequence_parallel": None},
        "fail",
        "copies of each other, which they then are not (tp=4)",
        "workload.sequence_parallel=false",
    ),
    (
        "deepspeed-sequence-parallel",
        FOLDED,
        {"workload.sequence_parallel": True},
        "fail",
        "AutoTP keeps whole sequences",
        "workload.sequence_parallel=false",
    ),
    ("deepspeed-sequence-parallel", DENSE, {"workload.sequence_parallel": True}, "warn", "own doing", "=false"),
    ("deepspeed-program", TRAIN, {"launch.command": None}, "warn", "the self-check alone", "launch.command=[python3"),
    (
        "deepspeed-launcher",
        TRAIN,
        {"launch.command": ["/usr/bin/deepspeed"]},
        "fail",
        "starts with deepspeed",
        "without a",
    ),
    ("deepspeed-serving", TRAIN, {"workload.kind": "serve"}, "warn", "without a KV cache", "workload=train"),
    (
        "deepspeed-etp",
        TRAIN,
        {"parallel.etp": 1},
        "fail",
        "etp is 4 with tp=4; the plan says 1",
        "expert_layout=contiguous",
    ),
    ("deepspeed-etp", WHOLE, {"parallel.etp": 4}, "fail", "keeps experts whole", "parallel.etp=1"),
    ("deepspeed-zero3-moe", changed(WHOLE, {"parallel.pp": 1}), {"workload.zero_stage": 3}, "fail", "ZeRO 3", "autoep"),
    ("deepspeed-routing", TRAIN, {"model.n_group": 4}, "warn", "n_group=4 limits them", "autoep"),
    (
        "deepspeed-capacity",
        changed(TRAIN, {"workload.dispatch": "capacity"}),
        {"workload.sequence_length": 4000},
        "warn",
        "capacity of 125 tokens (of 1 x 4000) into tp=4 pieces",
        "min_capacity=128",
    ),
    (
        "deepspeed-tp-strided",
        changed(WHOLE, {"framework.expert_layout": "tp_strided"}),
        {"parallel.dp": None, "parallel.adp": 24},
        "fail",
        "lanes of adp=24 ranks, one after the other, into blocks of ep=16",
        "an ep that divides adp",
    ),
    (
        "deepspeed-tp-strided",
        changed(WHOLE, {"framework.expert_layout": "tp_strided"}),
        {"framework.version": "0.18.9"},
        "fail",
        "from 0.19.2",
        "contiguous",
    ),
    (
        "deepspeed-unsorted",
        changed(WHOLE, {"framework.expert_layout": "tp_strided", "parallel.tp": 1}),
        {"parallel.tp": 4},
        "warn",
        "new_group sorts the ranks",
        "contiguous",
    ),
    (
        "deepspeed-autoep-version",
        FOLDED,
        {"framework.version": "0.19.2"},
        "fail",
        "(tp=4) with 0.19.3",
        "version=0.19.8",
    ),
    ("deepspeed-autoep-pipeline", FOLDED, {"parallel.pp": 2}, "fail", "tp=4 with pp=2", "pp1 or tp1"),
    ("deepspeed-autoep-ep", FOLDED, {"parallel.ep": 1}, "fail", "gradients count tp=4 times", "ep2 or more"),
    (
        "deepspeed-autoep-json",
        FOLDED,
        {"framework.args": ['--json.zero_optimization.offload_optimizer={"device":"cpu"}']},
        "fail",
        "no offload",
        "tp1",
    ),
    (
        "deepspeed-offloaded-adam",
        changed(TRAIN, {"workload.optimizer_offload": 1.0, "framework.args": ["--json.optimizer.type=AdamW"]}),
        {"framework.args": ["--json.gradient_clipping=1.0"]},
        "warn",
        "DeepSpeedCPULion where the program makes one; any other is a ZeRORuntimeException",
        "make deepspeed.ops.adam.DeepSpeedCPUAdam in the program, or write framework.args=[--json.optimizer.type=AdamW,...]",
    ),
    (
        "deepspeed-offloaded-adam",
        changed(
            TRAIN, {"workload.optimizer_offload": 1.0, "framework.args": ["--json.zero_force_ds_cpu_optimizer=false"]}
        ),
        {"framework.args": ["--json.zero_force_ds_cpu_optimizer=true"]},
        "warn",
        "runs an offloaded optimizer of ds_config.json",
        "DeepSpeedCPUAdam",
    ),
    (
        "deepspeed-autoep-json",
        FOLDED,
        {"workload.optimizer_offload": 1.0},
        "fail",
        "no offload and no DeepCompile over AutoTP: workload.optimizer_offload",
        "tp1",
    ),
    (
        "deepspeed-optimizer-offload",
        changed(TRAIN, {"workload.optimizer_offload": 1.0}),
        {"workload.distributed_optimizer": False},
        "fail",
        (
            "DeepSpeed 0.19.8 runtime/zero/offload_config.py offloads the optimizer with ZeRO 1, 2 and 3, and a part of it with "
            "ZeRO 3 alone (ratio); optimizer_offload=1 with zero_stage=0"
        ),
        "write workload.zero_stage=1 and workload.optimizer_offload=1",
    ),
    (
        "deepspeed-optimizer-offload",
        changed(DENSE, {"parallel.pp": 1, "workload.optimizer_offload": 0.5, "workload.zero_stage": 3}),
        {"workload.zero_stage": 2},
        "fail",
        "ZeRO 3 alone (ratio); optimizer_offload=0.5 with zero_stage=2",
        "write workload.optimizer_offload=1, or leave it out",
    ),
    (
        "deepspeed-activation-offload",
        changed(TRAIN, {"workload.activation_offload": 1.0, "workload.recompute": "full"}),
        {"workload.recompute": "none"},
        "fail",
        (
            "DeepSpeed 0.19.8 runtime/activation_checkpointing/checkpointing.py sends all checkpoints of recomputed layers to the host, "
            "or none (cpu_checkpointing); activation_offload=1 with recompute=none"
        ),
        "leave workload.activation_offload out, or write workload.activation_offload=1 and workload.recompute=full",
    ),
    (
        "deepspeed-activation-offload",
        TRAIN,
        {"workload.activation_offload": 0.5, "workload.recompute": "full"},
        "fail",
        "activation_offload=0.5 with recompute=full",
        "write workload.activation_offload=1",
    ),
    (
        "deepspeed-checkpointing-configured",
        TRAIN,
        {"workload.activation_offload": 1.0, "workload.recompute": "full"},
        "warn",
        (
            "DeepSpeed 0.19.8 reads activation_checkpointing.cpu_checkpointing of ds_config.json only where the program calls "
            "deepspeed.checkpointing.configure"
        ),
        "call deepspeed.checkpointing.configure(mpu, deepspeed_config=ds_config.json)",
    ),
    (
        "deepspeed-attention",
        TRAIN,
        {"workload.fused_attention": False},
        "warn",
        "DeepSpeed 0.19.8 replaces no attention in training: fused_attention=false is the model's own doing",
        "or leave workload.fused_attention out",
    ),
]
