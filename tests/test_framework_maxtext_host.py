"""What of a training run lives on the host, and which attention it has, in MaxText's words."""

from __future__ import annotations

from typing import Any

import pytest

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from tests.maxtext_plans import TRAIN, arguments, checks

MLP = ("mlpwi", "mlpwi_0", "mlpwi_1", "mlpwo")
RULES: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"workload.optimizer_offload": 0.5},
        "maxtext-optimizer-offload",
        "fail",
        (
            "MaxText 0.2.5 moves all of optimizer states to the host, or none (optimizer_memory_host_offload of configs/types.py), and "
            "workload.optimizer_offload is 0.5"
        ),
    ),
    (
        {"workload.activation_offload": 0.25},
        "maxtext-activation-offload",
        "fail",
        (
            "MaxText 0.2.5 moves all of the tensors of a name to the host, or none (remat_policy=custom of configs/types.py), and "
            "workload.activation_offload is 0.25"
        ),
    ),
    (
        {"workload.optimizer_offload": 1.0},
        "maxtext-optimizer-update",
        "warn",
        "optimizer states of MaxText 0.2.5 live on the host and go to the GPU for the update (trainers/pre_train/train.py)",
    ),
]


@pytest.mark.parametrize(("values", "name", "status", "text"), RULES, ids=[rule[1] for rule in RULES])
def test_a_rule_speaks_up(values: dict[str, Any], name: str, status: str, text: str) -> None:
    found = checks(values)[name]
    assert (found.status, found.fix != "") == (status, True)
    assert text in found.message
    assert name not in checks({})


@pytest.mark.parametrize(
    ("recompute", "names"),
    [
        ("full", {"decoder_layer_input"}),
        ("selective", {"decoder_layer_input", "query_proj", "key_proj", "value_proj", "qkv_proj", "out_proj", *MLP}),
        (
            "none",
            {"decoder_layer_input", "query_proj", "key_proj", "value_proj", "qkv_proj", "out_proj", "context", *MLP},
        ),
    ],
)
def test_what_recomputation_keeps_goes_to_the_host(recompute: str, names: set[str]) -> None:
    found = arguments("workload.activation_offload=1", f"workload.recompute={recompute}")
    assert found["remat_policy"] == "custom"
    assert {name for name, value in found.items() if value == "offload"} == names


def test_the_optimizer_and_attention_are_said_where_they_differ() -> None:
    found = arguments("workload.optimizer_offload=1", "workload.fused_attention=false")
    assert (found["optimizer_memory_host_offload"], found["attention"]) == ("true", "dot_product")
    user = "framework.args=['attention=cudnn_flash_te','optimizer_memory_host_offload=true']"
    assert arguments(user)["attention"] == "cudnn_flash_te"
    assert set(arguments()) & {"optimizer_memory_host_offload", "decoder_layer_input"} == set()
    assert arguments()["attention"] == "cudnn_flash_te"
    with pytest.raises(
        ConfigError, match=r"framework\.args sets attention, optimizer_memory_host_offload, and so does"
    ):
        arguments(user, "workload.fused_attention=false", "workload.optimizer_offload=1")


@pytest.mark.parametrize("key", ["optimizer_offload", "activation_offload"])
def test_a_part_is_refused_and_the_whole_compiles(key: str) -> None:
    with pytest.raises(
        InvariantError, match=rf"workload.{key} is 0.5 ; write workload.{key}=[01](\.0)? or workload.{key}=[01]"
    ):
        compile_plan([*TRAIN, "scheduler=[]", f"workload.{key}=0.5"])
    assert compile_plan([*TRAIN, "scheduler=[]", f"workload.{key}=1"]).world_size == 1024
