"""What torchtitan can keep on the host, and which attention it has."""

from __future__ import annotations

from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from compiler.specs.config import Config
from tests.checks import by_id
from tests.configs import changed, composed
from tests.torchtitan_configs import LLAMA, MOE, TITAN, emitted

OFFLOAD = "--training.enable_cpu_offload"
RULES: list[tuple[tuple[str, ...], dict[str, Any], str, str, str, str]] = [
    (
        LLAMA,
        {"workload.optimizer_offload": 0.5},
        "optimizer-offload",
        "fail",
        (
            "torchtitan 0.3 distributed/fsdp.py offloads all of a rank's shards or none (CPUOffloadPolicy); "
            "workload.optimizer_offload=0.5"
        ),
        "write workload.optimizer_offload=1, or leave it out",
    ),
    (
        LLAMA,
        {"workload.optimizer_offload": 1.0},
        "parameters-offload",
        "warn",
        (
            "torchtitan 0.3 config/configs.py enable_cpu_offload sends parameters and gradients to the host with the optimizer: "
            "memory is below what the plan counts, and there is more to move"
        ),
        "take times for bounds, or leave workload.optimizer_offload out",
    ),
    (
        LLAMA,
        {"workload.activation_offload": 0.5},
        "activation-offload",
        "fail",
        (
            "torchtitan 0.3 distributed/activation_checkpoint.py keeps activations on the GPU or recomputes them; "
            "workload.activation_offload=0.5"
        ),
        "leave workload.activation_offload out",
    ),
    (
        LLAMA,
        {"workload.fused_attention": False},
        "attention",
        "fail",
        "torchtitan 0.3 models/common/attention.py: the model's attention is flex, and workload.fused_attention=false",
        "leave workload.fused_attention out",
    ),
    (
        MOE,
        {"workload.fused_attention": False},
        "attention",
        "warn",
        "the model's attention is a kernel of the model's own config, and workload.fused_attention=false",
        "leave workload.fused_attention out",
    ),
]


def said(config: Config) -> dict[str, Any]:
    return by_id(TITAN.declared(config))


@pytest.mark.parametrize(("base", "values", "name", "status", "message", "fix"), RULES)
def test_a_rule_fires(
    base: tuple[str, ...], values: dict[str, Any], name: str, status: str, message: str, fix: str
) -> None:
    config = composed(*base)
    assert f"torchtitan-{name}" not in said(config)
    found = said(changed(config, values))[f"torchtitan-{name}"]
    assert (found.status, found.fix) == (status, fix)
    assert message in found.message


def test_the_whole_is_asked_for_and_otherwise_the_users() -> None:
    config = composed(*LLAMA)
    whole = changed(config, {"workload.optimizer_offload": 1.0})
    assert OFFLOAD in emitted(whole)
    assert OFFLOAD not in emitted(config)
    words = {"framework.args": ["--training.enable-cpu-offload"]}
    assert "--training.enable-cpu-offload" in emitted(changed(config, words))
    with pytest.raises(ConfigError, match=r"framework\.args sets --training\.enable-cpu-offload, and so does the plan"):
        emitted(changed(whole, words))


def test_a_fix_compiles() -> None:
    with pytest.raises(InvariantError, match="torchtitan-optimizer-offload"):
        compile_plan([*LLAMA, "scheduler=[]", "workload.optimizer_offload=0.5"])
    assert compile_plan([*LLAMA, "scheduler=[]", "workload.optimizer_offload=1"]).world_size == 64
