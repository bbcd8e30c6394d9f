"""Plans on hardware that was measured, and on hardware that was not."""

from __future__ import annotations

from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError
from compiler.speed import calibrated

LLAMA = ["model=llama3_1_70b", "parallel=tp8_pp4_adp4", "workload=train", "hardware.nodes=16"]


def test_the_parts_of_a_step_add_up() -> None:
    step = compile_plan(["hardware=h100_80gb", *LLAMA]).to_dict()["projection"]["train"]
    whole = ("pipeline_s", "bubble_s", "gradients_s", "optimizer_s", "fixed_s")
    assert step["step_time_s"] == pytest.approx(sum(step[part] for part in whole))
    assert step["pipeline_s"] == pytest.approx(sum(step[part] for part in ("kernels_s", "exposed_s", "waiting_s")))
    assert step["step_time_low_s"] < step["step_time_s"] < step["step_time_high_s"]


@pytest.mark.parametrize("name", ["a100_40gb", "b200", "gb200_nvl72", "gb300_nvl72", "h100_80gb", "h200", "h800"])
def test_every_measured_gpu_serves(name: str) -> None:
    nodes = "hardware.nodes=16" if "nvl72" not in name else "hardware.nodes=32"
    found = compile_plan([f"hardware={name}", nodes, "model=llama3_1_8b", "parallel=tp4_adp32"]).to_dict()["projection"]
    assert 0 < found["serve"]["decode"][0]["tpot_s"] < found["serve"]["prefill"][0]["ttft_s"] < 60


def test_without_curves_they_are_assumed() -> None:
    bare = compile_plan(["hardware=h100_80gb", "hardware.calibration=null", *LLAMA]).to_dict()
    step = bare["projection"]["train"]
    found = next(check for check in bare["checks"] if check["id"] == "measured")
    assert found["message"] == "no measured curves of h100_80gb: times are by curves assumed from its file's rates"
    assert found["status"] == "warn"
    assert step["kernels_s"] > 0
    assert step["step_time_low_s"] < 1.13 * step["step_time_s"] < step["step_time_high_s"]  # which is optimistic


INTERVALS: dict[str, list[tuple[str, str | None]]] = {
    "train": [("step_time", None)],
    "serve": [("ttft", "prefill"), ("tpot", "decode")],
}


@pytest.mark.parametrize("workload", INTERVALS)
@pytest.mark.parametrize("hardware", ["h100_80gb", "generic_64gb", "mi300x"])
def test_every_projection_has_an_interval(hardware: str, workload: str) -> None:
    overrides = [
        f"hardware={hardware}",
        "model=llama3_1_8b",
        "parallel=tp8_pp4_adp4",
        f"workload={workload}",
        "hardware.nodes=16",
    ]
    found: dict[str, Any] = compile_plan(overrides).to_dict()
    memory = found["memory"]
    assert memory["total_low_bytes"] < memory["total_bytes"] < memory["total_high_bytes"] < 1.3 * memory["total_bytes"]
    for name, phase in INTERVALS[workload]:
        rows = found["projection"][workload]
        for row in rows[phase] if phase else [rows]:  # a step is a row of its own
            assert 0 < row[f"{name}_low_s"] < row[f"{name}_high_s"]


def test_what_was_not_measured_is_less_sure() -> None:
    def width(*more: str) -> float:
        step = compile_plan(["hardware=h100_80gb", *LLAMA, *more]).to_dict()["projection"]["train"]
        return float(step["step_time_high_s"] / step["step_time_low_s"])

    known = width("framework=megatron", "framework.version=nemo-26.06")
    assert known < width("framework=torchtitan") or known < width()
    assert known < width("workload.precision=fp32")


def test_what_was_not_measured_is_said() -> None:
    checks = compile_plan(["hardware=h100_80gb", *LLAMA]).to_dict()["checks"]
    found = next(check for check in checks if check["id"] == "measured")
    assert found["status"] == "warn"
    assert "framework none: the constants of all frameworks together" in found["message"]


def test_an_unmeasured_gpu_takes_after_its_generation() -> None:
    checks = compile_plan(["hardware=h200", *LLAMA]).to_dict()["checks"]
    found = next(check for check in checks if check["id"] == "measured")
    assert "hardware h200: the constants of all hopper GPUs together" in found["message"]


@pytest.mark.parametrize("name", ["nope", "training"])
def test_unknown_curves_are_said(name: str) -> None:
    with pytest.raises(ConfigError, match=f"hardware.calibration={name} has no GEMM curves ; write one of a100_80gb"):
        compile_plan(["hardware=h100_80gb", f"hardware.calibration={name}", *LLAMA])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=llama3_1_405b", "parallel=tp8_pp9_adp512", "hardware.nodes=4608", "workload.global_batch_size=4608",
          "workload.micro_batch_size=1", "workload.recompute=full"], "36,864 GPUs: 2 to 2,048 were measured"),
        (["model=llama3_1_8b", "parallel=tp8_cp16", "hardware.nodes=16", "workload.sequence_length=1048576",
          "workload.global_batch_size=16", "workload.recompute=full"], "1,048,576 tokens in a sequence: "),
    ],
)  # fmt: skip
def test_a_scale_that_was_not_measured_is_said(overrides: list[str], words: str) -> None:
    checks = compile_plan(["hardware=h100_80gb", "workload=train", *overrides]).to_dict()["checks"]
    assert words in next(check for check in checks if check["id"] == "measured")["message"]


def test_fp4_without_units_of_its_own_takes_the_curves_of_bf16() -> None:
    found = calibrated.gpu("h200")
    assert found is not None
    assert found.kernel(found.gemm, "nvfp4") is found.gemm["bf16"] is not found.gemm["fp8"]


def test_a_release_that_was_not_measured_is_a_note_and_a_framework_is_named() -> None:
    def measured(*more: str) -> tuple[str, str, str]:
        checks = compile_plan(["hardware=h100_80gb", *LLAMA, *more]).checks
        found = next(check for check in checks if check.id == "measured")
        return found.status, found.message, found.fix

    status, message, fix = measured("framework=megatron")
    assert (status, fix) == ("pass", "")
    assert "release not given of megatron: the constants of its latest, nemo-26.08" in message
    assert measured()[2] == "write the framework that will run it, as in framework=megatron or framework=vllm"
    assert "compiler.calibrate" in measured("framework=deepspeed")[2]
