"""What a caller of the library gives, and what a user says of a model that no server would take."""

from __future__ import annotations

import pytest

from compiler import ConfigError, InvariantError, compile_plan

SERVED = ["model=llama3_1_8b", "hardware=h200", "hardware.nodes=1", "parallel=tp8", "scheduler=[]", "~expect"]


def test_overrides_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r"the overrides are one text, parallel=tp8 ; give a list of them"):
        compile_plan("parallel=tp8")


def test_heads_share_keys_and_values_in_whole_groups() -> None:
    with pytest.raises(
        InvariantError, match=r"kv-groups: num_attention_heads 32 over num_key_value_heads 7 is 4.57143 each"
    ):
        compile_plan([*SERVED, "model.num_key_value_heads=7"])


def test_a_models_own_mappings_take_new_keys() -> None:
    plan = compile_plan([*SERVED, "model.towers={vision: 5e8}", "framework=vllm"])
    bare = compile_plan([*SERVED, "framework=vllm"])
    weights = [made.contents["memory"]["weights_bytes"] for made in (plan, bare)]
    assert weights[0] - weights[1] == 1e9


@pytest.mark.parametrize("framework", ["vllm", "sglang"])
def test_weights_that_a_server_quantises_by_itself_are_said_not_to_be_counted(framework: str) -> None:
    plan = compile_plan([*SERVED, f"framework={framework}", "framework.args=[--quantization,fp8]"])
    (found,) = [check for check in plan.checks if check.id == f"{framework}-quantization-uncosted"]
    assert (
        "--quantization=fp8 in framework.args quantises weights, and memory and times are of workload.precision=bf16"
        in found.message
    )
    assert found.fix.startswith("write workload.precision=fp8")
