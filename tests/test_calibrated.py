"""Plans on hardware that was measured, and on hardware that was not."""

from __future__ import annotations

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError

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


def test_without_curves_the_roofline_stands() -> None:
    bare = compile_plan(["hardware=h100_80gb", "hardware.calibration=null", *LLAMA]).to_dict()
    assert bare["projection"]["train"]["step_time_low_s"] is None
    assert not [check for check in bare["checks"] if check["id"] == "measured"]


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
