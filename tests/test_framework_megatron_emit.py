"""The workload is written as Megatron's arguments, environment and program."""

from __future__ import annotations

from typing import Any

import pytest

from tests.configs import changed
from tests.megatron_configs import SERVE, TRAIN, args, emitted, words


@pytest.mark.parametrize(
    ("values", "expected", "absent"),
    [
        ({}, {"--bf16": (), "--sequence-parallel": (), "--use-distributed-optimizer": (), "--overlap-param-gather": ()}, "--use-megatron-fsdp"),
        ({"workload.precision": "fp8"}, {"--bf16": (), "--fp8-format": ("hybrid",)}, "--fp4-format"),
        ({"workload.precision": "fp4"}, {"--bf16": (), "--fp4-format": ("e2m1",)}, "--fp8-format"),
        ({"workload.precision": "mxfp8"}, {"--bf16": (), "--fp8-format": ("e4m3",), "--fp8-recipe": ("mxfp8",)}, "--fp4-format"),
        ({"workload.precision": "nvfp4"}, {"--bf16": (), "--fp4-format": ("e2m1",), "--fp4-recipe": ("nvfp4",)}, "--fp8-format"),
        ({"workload.precision": "fp16"}, {"--fp16": ()}, "--bf16"),
        ({"workload.precision": "fp32"}, {}, "--bf16"),
        ({"workload.recompute": "full"}, {"--recompute-granularity": ("full",), "--recompute-method": ("uniform",), "--recompute-num-layers": ("1",)}, "--fp16"),
        ({"workload.recompute": "selective"}, {"--recompute-granularity": ("selective",)}, "--recompute-method"),
        ({"workload.distributed_optimizer": False}, {"--overlap-grad-reduce": ()}, "--use-distributed-optimizer"),
        ({"workload.zero_stage": 3}, {"--use-megatron-fsdp": (), "--data-parallel-sharding-strategy": ("optim_grads_params",), "--ckpt-format": ("fsdp_dtensor",)}, "--fp16"),
        ({"workload.zero_stage": 2}, {"--data-parallel-sharding-strategy": ("optim_grads",)}, "--fp16"),
        ({"model.num_experts_per_tok": 1}, {"--moe-router-pre-softmax": ()}, "--fp16"),
        ({"workload.optimizer_offload": 0.5}, {"--optimizer-cpu-offload": (), "--optimizer-offload-fraction": ("0.5",), "--use-precision-aware-optimizer": ()}, "--cpu-offloading-num-layers"),
        ({"workload.optimizer_offload": 1.0, **args("--use-precision-aware-optimizer")}, {"--optimizer-offload-fraction": ("1",), "--use-precision-aware-optimizer": ()}, "--attention-backend"),
        ({"workload.activation_offload": 0.25}, {"--cpu-offloading-num-layers": ("4",)}, "--optimizer-cpu-offload"),
        ({"workload.fused_attention": False}, {"--attention-backend": ("unfused",)}, "--optimizer-cpu-offload"),
    ],
)  # fmt: skip
def test_the_workload_as_arguments(values: dict[str, Any], expected: dict[str, tuple[str, ...]], absent: str) -> None:
    found = words(changed(TRAIN, values))
    assert {flag: found.get(flag) for flag in expected} == expected
    assert absent not in found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["--moe-token-dispatcher-type alltoall"]),
        ({"workload.dispatch": "deduplicated"}, ["--moe-token-dispatcher-type flex"]),
        (
            {"workload.dispatch": "capacity"},
            [
                "--moe-token-dispatcher-type alltoall",
                "--moe-expert-capacity-factor 1.0",
                "--moe-pad-expert-input-to-capacity",
            ],
        ),
        (
            {"workload.overlapped_dispatch": True, "parallel.vpp": 2},
            ["--moe-token-dispatcher-type alltoall", "--overlap-moe-expert-parallel-comm"],
        ),
        (
            {"workload.overlapped_dispatch": True, "workload.delayed_weight_gradients": True, "parallel.vpp": 2},
            ["--moe-token-dispatcher-type alltoall", "--overlap-moe-expert-parallel-comm", "--delay-wgrad-compute"],
        ),
        (
            {"workload.overlapped_shared_experts": True},
            ["--moe-token-dispatcher-type alltoall", "--moe-shared-expert-overlap"],
        ),
        (args("--moe-token-dispatcher-type", "allgather"), ["--moe-token-dispatcher-type allgather"]),
    ],
)
def test_tokens_reach_experts_as_the_workload_has_it(values: dict[str, Any], expected: list[str]) -> None:
    words = " ".join(str(word) for word in emitted(changed(TRAIN, values)).arguments)
    names = (
        *("--moe-token-dispatcher-type", "--moe-expert-capacity-factor", "--moe-pad-expert", "--overlap-moe"),
        *("--delay-wgrad", "--moe-shared-expert-overlap"),
    )
    assert [f"--{part}".strip() for part in words.split("--") if f"--{part}".startswith(names)] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "1"),
        ({"parallel.tp": 1, "parallel.dp": 16}, None),
        ({"parallel.tp": 1, "parallel.cp": 2, "parallel.dp": 8}, "1"),
        ({"workload.zero_stage": 3}, None),
        (args("--overlap-moe-expert-parallel-comm"), None),
        ({"workload.overlapped_dispatch": True}, None),
        ({"hardware.gpu.peak_flops.fp4": 1e16}, None),
    ],
)
def test_one_connection_where_megatron_insists(values: dict[str, Any], expected: str | None) -> None:
    assert emitted(changed(TRAIN, values)).environment.get("CUDA_DEVICE_MAX_CONNECTIONS") == expected


def test_programs() -> None:
    assert emitted(TRAIN).program == ("python3", "pretrain_gpt.py")
    assert emitted(TRAIN).unit == "rank"
    assert emitted(SERVE).program == ("python3", "tools/run_dynamic_text_generation_server.py")
    found = words(SERVE)
    assert found["--inference-max-seq-length"] == found["--seq-length"] == ("11264",)
    assert "--global-batch-size" not in found


@pytest.mark.parametrize(
    ("user", "gone"),
    [
        (("--rotary-base", "5000000"), ["--rotary-base"]),
        (("--squared-relu",), ["--swiglu"]),
        (("--moe-aux-loss-coeff", "0.01"), ["--moe-aux-loss-coeff", "--moe-router-load-balancing-type"]),
        (("--hidden-dropout", "0.1"), ["--hidden-dropout"]),
    ],
)
def test_what_layers_do_is_the_users_to_change(user: tuple[str, ...], gone: list[str]) -> None:
    plain = changed(TRAIN, {"model.gated_mlp": True, "model.router_aux_loss_coef": 0.02})
    assert set(gone) <= set(words(plain))
    emitted_words = [str(word) for word in emitted(changed(plain, args(*user))).arguments]
    assert emitted_words[-len(user) :] == list(user)
    assert not set(gone) & set(emitted_words[: -len(user)])
