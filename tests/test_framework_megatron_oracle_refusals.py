"""What a rule refuses Megatron itself, from its wheel, refuses before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from compiler.frameworks.megatron import recorded
from compiler.frameworks.megatron.installed import module
from compiler.specs.states import States
from tests.configs import changed
from tests.megatron_configs import TRAIN
from tests.megatron_plans import newest_megatron, refusals, verdict


@pytest.fixture(scope="module")
def newest() -> Iterator[None]:
    with newest_megatron():
        yield


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # our rule, what breaks it, where and how Megatron refuses
    ("megatron-mapping", {"parallel.order": "tp-cp-ep-pp-dp", "parallel.etp": 1}, "groups: When not using pp-last"),
    (
        "megatron-optimizer-instances",
        {"framework.args": ["--num-distributed-optimizer-instances", "3"]},
        "groups: Data parallel size",
    ),
    (
        "megatron-optimizer-instances",
        {"framework.args": ["--num-distributed-optimizer-instances", "8"]},
        "groups: Expert data parallel size",
    ),
    (
        "megatron-hierarchical-cp",
        {"parallel.cp": 2, "parallel.dp": 2, "framework.args": ["--hierarchical-context-parallel-sizes", "2", "2"]},
        "arguments: AssertionError",
    ),
    (
        "megatron-cp-comm-type",
        {"parallel.cp": 2, "parallel.dp": 2, "framework.args": ["--cp-comm-type", "a2a+p2p"]},
        "arguments: --hierarchical-context-parallel-sizes must be set",
    ),
    (
        "megatron-max-connections",
        {"launch.environment": {"CUDA_DEVICE_MAX_CONNECTIONS": "8"}},
        "arguments: Using tensor model parallelism",
    ),
    (
        "megatron-checkpoint-format",
        {"framework.args": ["--ckpt-format", "torch_dcp"]},
        "arguments: --ckpt-format torch_dcp",
    ),
    (
        "megatron-checkpoint-format",
        {"workload.zero_stage": 3, "framework.args": ["--ckpt-format", "torch_dist"]},
        "arguments: Megatron-FSDP requires the `fsdp_dtensor`",
    ),
    (
        "megatron-optimizer",
        {"workload.zero_stage": 3, "framework.args": ["--optimizer", "muon"]},
        "arguments: Megatron-FSDP does not support the muon",
    ),
    (
        "megatron-positions",
        {"model.position_embedding_type": "absolute", "framework.args": ["--max-position-embeddings", "64"]},
        "arguments: max_position_embeddings (64)",
    ),
    (
        "megatron-eval-batch",
        {"framework.args": ["--eval-global-batch-size", "100"]},
        "arguments: eval_global_batch_size (100)",
    ),
    (
        "megatron-no-overlap-p2p-communication",
        {"parallel.pp": 2, "parallel.vpp": 2, "framework.args": ["--no-overlap-p2p-communication"]},
        "arguments: When interleaved schedule is used and p2p",
    ),
    (
        "megatron-tp-comm-overlap",
        {"workload.sequence_parallel": False, "framework.args": ["--tp-comm-overlap"]},
        "arguments: Tensor parallel communication/GEMM overlap",
    ),
    (
        "megatron-defer-embedding-wgrad-compute",
        {"parallel.pp": 1, "framework.args": ["--defer-embedding-wgrad-compute"]},
        "configuration: Cannot defer embedding wgrad",
    ),
    (
        "megatron-overlap-moe-expert-parallel-comm",
        {"framework.args": ["--overlap-moe-expert-parallel-comm"]},
        "configuration: ",
    ),
    (
        "megatron-transformer-impl",
        {"framework.args": ["--transformer-impl", "inference_optimized"]},
        "configuration: Inference-optimized MoE layers does not support expert tensor",
    ),
    (
        "attention-heads",
        {"parallel.tp": 32, "parallel.ep": 2, "parallel.etp": 1},
        "configuration: num_attention_heads (16)",
    ),
    ("kv-heads", {"model.num_key_value_heads": 6}, "configuration: num_query_groups (6)"),
    ("experts", {"model.num_experts": 60}, "arguments: Number of experts should be a multiple"),
    ("batch", {"workload.global_batch_size": 1000}, "arguments: eval_global_batch_size (1000)"),
    (
        "sequence-length",
        {"parallel.cp": 3, "parallel.dp": 3, "workload.global_batch_size": 960},
        "arguments: seq-length should be a multiple of 2",
    ),
    ("expert-groups", {"model.n_group": 3}, "configuration: num_moe_experts (64) should be divisible"),
    (
        "megatron-narrow-weights",
        {"workload.states": States(weights="fp8")},
        "configuration: fp8_param must be used together with fp8 mode",
    ),
    (
        "megatron-narrow-weights",
        {
            "workload.states": States(weights="fp8"),
            "workload.precision": "fp8",
            "workload.distributed_optimizer": False,
        },
        "arguments: --fp8-param-gather only supported with distributed optimizer",
    ),
    (
        "megatron-wide-layers",
        {"workload.wide_layers": [1, 1], "workload.precision": "fp8"},
        "configuration: Delayed scaling does not support first / last layer",
    ),
    (
        "megatron-wide-layers",
        {"workload.wide_layers": [9, 9], "workload.precision": "mxfp8"},
        "configuration: num_layers_at_start_in_bf16 (9) must be",
    ),
    (
        "megatron-recompute-modules",
        {"workload.recompute": "selective", "workload.recompute_modules": ["mla_up_proj"]},
        "configuration: mla_up_proj in recompute_modules is only",
    ),
    (
        "megatron-recompute-modules",
        {"workload.recompute": "selective", "workload.recompute_modules": ["layernorm"], "workload.precision": "fp8"},
        "configuration: Delayed scaling does not support moe_act and layernorm",
    ),
    (
        "megatron-offload-modules",
        {"workload.offload_modules": ["attn_proj"]},
        "configuration: attn_proj cannot be set to offload_modules alone",
    ),
    (
        "megatron-offload-modules",
        {
            "workload.offload_modules": ["moe_act"],
            "workload.recompute": "selective",
            "workload.recompute_modules": ["moe"],
        },
        "configuration: Cannot offload {'moe_act'} while recomputing",
    ),
    (
        "megatron-cuda-graphs",
        {"workload.recompute": "full", "workload.cuda_graphs": "layer"},
        "configuration: full recompute is only supported with full iteration",
    ),
    ("framework-arguments", {"framework.args": ["--moe-permut-fusion"]}, "arguments: "),
    (
        "megatron-unplanned",
        {"framework.args": ["--hybrid-context-parallel"]},
        "arguments: Hybrid context parallelism not",
    ),
]


@pytest.mark.parametrize(("rule", "values", "how"), REFUSED, ids=[f"{row[0]}-{i}" for i, row in enumerate(REFUSED)])
def test_what_a_rule_refuses_megatron_refuses(newest: None, rule: str, values: dict[str, Any], how: str) -> None:
    config = changed(TRAIN, values)
    assert rule in refusals(config)
    said = verdict(config)
    assert said.startswith(how), said


def test_modules_whose_activations_go_to_the_host(newest: None) -> None:
    config = changed(TRAIN, {"workload.offload_modules": ["core_attn", "attn_proj", "expert_fc1", "moe_act"]})
    assert refusals(config) == []
    assert verdict(config) == ""


EASED: list[dict[str, Any]] = [
    {"framework.args": ["--max-position-embeddings", "64"]},
    {"parallel.tp": 1, "parallel.dp": 16, "framework.args": ["--tp-comm-overlap"]},
]
"""Options that stop Megatron as they are, of plans that lose nothing without them."""


@pytest.mark.parametrize("values", EASED, ids=[values["framework.args"][0] for values in EASED])
def test_what_is_left_out_lets_megatron_start(newest: None, values: dict[str, Any]) -> None:
    config = changed(TRAIN, values)
    assert refusals(config) == []
    assert verdict(config) == ""


def test_experts_that_fill_no_world(newest: None) -> None:
    config = changed(TRAIN, {"parallel.dp": None, "parallel.adp": 10})
    assert "expert-grid" in refusals(config)
    given = {**recorded.planned_settings(TRAIN), "expert_model_parallel_size": 16}
    world = SimpleNamespace(size=160, config=TRAIN)
    made: Any = recorded.groups(world, given)  # type: ignore[arg-type]  # only its size and configuration are read
    assert "not divisible by expert_tensor_model_pipeline_parallel size (256)" in made.reason


def test_layers_that_do_not_divide(newest: None) -> None:
    assert "layers-to-stages" in refusals(changed(TRAIN, {"model.num_hidden_layers": 18}))
    build = module("megatron.core.transformer.transformer_block").get_num_layers_to_build
    spec = mock.Mock(num_layers=18, pipeline_model_parallel_size=4, pipeline_model_parallel_layout=None)
    spec.configure_mock(num_layers_in_first_pipeline_stage=None, num_layers_in_last_pipeline_stage=None)
    spec.configure_mock(account_for_embedding_in_pipeline_split=False, account_for_loss_in_pipeline_split=False)
    with pytest.raises(AssertionError):
        build(spec, None, 0)
