"""torchtitan's rules hold, break, or do not apply; and what their fixes say compiles."""

from __future__ import annotations

import re
from typing import Any

import pytest

from compiler.checks import Check
from compiler.errors import InvariantError
from compiler.passes import compile_config
from compiler.specs.config import Config
from tests.configs import changed, composed
from tests.torchtitan_configs import BASE, DEEPSEEK, GPT_OSS, LLAMA, MOE, QWEN, REPLICATE, TITAN


def checks(config: Config) -> dict[str, Check]:
    return {check.id: check for check in TITAN.declared(config)}


def test_the_strategy_is_refused_with_a_fix_that_works() -> None:
    with pytest.raises(InvariantError, match=r"ep=16 and tp=4 experts have etp=1; the plan says etp=4") as error:
        compile_config(composed(*BASE))
    fixes = [problem.instead for problem in error.value.problems]
    assert fixes == ["write parallel.etp=1, which keeps all 1024 ranks"]
    plan = compile_config(composed(*BASE, "parallel.etp=1"))
    assert plan.world_size == 1024
    assert plan.groups["ep"][0].tolist() == list(range(16))
    assert plan.groups["edp"][0].tolist() == list(range(0, 256, 16))


REFUSED: list[tuple[tuple[str, ...], dict[str, Any], str, str, str]] = [
    (MOE, {"workload.kind": "serve"}, "training", "fail", "workload.kind is serve"),
    (MOE, {"parallel.order": "tp-cp-pp-dp-ep"}, "order", "fail", "lays ranks out as tp-cp-ep-dp-pp alone"),
    (MOE, {"parallel.etp": 4}, "etp", "fail", "experts have etp=1; the plan says etp=4"),
    (QWEN, {"parallel.ep": 1}, "etp", "fail", "experts have etp=4; the plan says etp=1"),
    (QWEN, {"framework.args": [REPLICATE, "3"]}, "replicate", "fail", "dp_replicate=3 times dp_shard=2.66667"),
    (QWEN, {"parallel.ep": 64}, "expert-parallel", "fail", r"8\*1\*4 = 32; it crosses neither"),
    (QWEN, {"framework.args": [REPLICATE, "8"]}, "expert-parallel", "fail", r"1\*1\*4 = 4 \(adp=8 in 8 copies"),
    (QWEN, {"model.num_experts": 100}, "experts", "fail", "100 experts over ep=8 ranks are 12.5 each"),
    (QWEN, {"parallel.adp": 320}, "expert-sharding", "fail", "768 x 2048 of an expert over efsdp=160 ranks"),
    (
        QWEN,
        {"parallel.ep": 1, "parallel.etp": 4, "parallel.adp": 72},
        "expert-sharding",
        "fail",
        "192 x 2048 .* since 288 ranks",
    ),
    (DEEPSEEK, {"model.n_group": 256}, "expert-groups", "fail", "256 experts in 256 groups are 1 each"),
    (LLAMA, {"workload.sequence_length": 1000}, "sequence", "fail", "splits 1000 tokens into 16 parts"),
    (LLAMA, {"workload.schedule": "dualpipe"}, "schedule", "fail", "dualpipe as DualPipeV, with vpp=1"),
    (LLAMA, {"workload.schedule": "zero_bubble"}, "schedule", "fail", "as InterleavedZeroBubble, with vpp=1"),
    (LLAMA, {"workload.global_batch_size": 4}, "micro-batches", "fail", "1 micro-batches on pp=2 stages"),
    (
        LLAMA,
        {"workload.global_batch_size": 44, "parallel.vpp": 2},
        "micro-batches",
        "fail",
        "11 micro-batches in 5 rounds",
    ),
    (LLAMA, {"model.tie_word_embeddings": True}, "weight-tying", "fail", "share weights with pp=2"),
    (QWEN, {"parallel.tp": 8}, "heads", "fail", "tp=8 divides 32 heads and 4 key-value heads"),
    (LLAMA, {"workload.sequence_length": 262144}, "positions", "fail", "positions for 131072 tokens"),
    (
        GPT_OSS,
        {"parallel.cp": 2},
        "context-attention",
        "fail",
        "cp=2 needs FlexAttention, the model's attention is varlen",
    ),
    (MOE, {"parallel.cp": 2}, "context-attention", "warn", "the model's attention is unknown"),
    (LLAMA, {"workload.precision": "fp16"}, "precision", "fail", "bfloat16 or float32; the plan says fp16"),
    (LLAMA, {"workload.precision": "fp8"}, "linear-precision", "warn", "llama3_8b runs its linear layers in bf16"),
    (LLAMA, {"model.vocab_size": 128255}, "vocabulary", "warn", r"128255 rows over tp=4"),
    (MOE, {}, "model", "warn", "none for 16 layers of 1024"),
    (DEEPSEEK, {}, "mtp", "warn", "deepseek_v3_671b has no multi-token prediction, the model 1"),
    (LLAMA, {}, "zero", "warn", "the plan counts zero_stage=0"),
    (LLAMA, {"launch.command": ["bash", "run_train.sh"]}, "torchrun", "warn", "in the order in which they join"),
]
ACCEPTED: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (MOE, {}, "training"),
    (MOE, {}, "order"),
    (MOE, {}, "etp"),
    (QWEN, {"parallel.ep": 1, "parallel.etp": 4}, "etp"),
    (QWEN, {"framework.args": [REPLICATE, "4"]}, "replicate"),
    (QWEN, {"parallel.ep": 32}, "expert-parallel"),
    (QWEN, {"framework.args": [REPLICATE, "4"]}, "expert-parallel"),
    (QWEN, {}, "experts"),
    (QWEN, {"parallel.adp": 256}, "expert-sharding"),
    (QWEN, {"parallel.ep": 1, "parallel.etp": 4, "parallel.adp": 64}, "expert-sharding"),
    (DEEPSEEK, {}, "expert-groups"),
    (LLAMA, {"workload.sequence_length": 1008}, "sequence"),
    (LLAMA, {"workload.sequence_length": 1004, "workload.sequence_parallel": False}, "sequence"),
    (LLAMA, {"workload.schedule": "zero_bubble", "parallel.vpp": 2}, "schedule"),
    (LLAMA, {"workload.global_batch_size": 8}, "micro-batches"),
    (LLAMA, {"workload.global_batch_size": 40, "parallel.vpp": 2}, "micro-batches"),
    (LLAMA, {}, "weight-tying"),
    (DEEPSEEK, {"parallel.tp": 16}, "heads"),
    (LLAMA, {"workload.sequence_length": 131072}, "positions"),
    (LLAMA, {}, "context-attention"),
    (LLAMA, {"workload.precision": "fp32"}, "precision"),
    (LLAMA, {}, "vocabulary"),
    (LLAMA, {}, "model"),
    (MOE, {"framework.args": ["--module", "mine", "--config", "large"]}, "model"),
    (LLAMA, {"workload.zero_stage": 3}, "zero"),
    (LLAMA, {"launch.command": ["torchrun", "-m", "torchtitan.train"]}, "torchrun"),
]


@pytest.mark.parametrize(("base", "values", "name", "status", "message"), REFUSED)
def test_a_rule_fires(base: tuple[str, ...], values: dict[str, Any], name: str, status: str, message: str) -> None:
    found = checks(changed(composed(*base), values))[f"torchtitan-{name}"]
    assert found.status == status
    assert re.search(message, found.message), found.message
    assert found.fix


@pytest.mark.parametrize(("base", "values", "name"), ACCEPTED)
def test_a_rule_is_silent(base: tuple[str, ...], values: dict[str, Any], name: str) -> None:
    assert checks(changed(composed(*base), values))[f"torchtitan-{name}"].status == "pass"


@pytest.mark.parametrize(
    ("base", "values", "name"),
    [
        (DEEPSEEK, {"model.num_nextn_predict_layers": 0}, "mtp"),
        (LLAMA, {"workload.distributed_optimizer": False}, "zero"),
        (LLAMA, {}, "linear-precision"),
        (LLAMA, {}, "etp"),
        (LLAMA, {"parallel.pp": 1, "model.tie_word_embeddings": True}, "weight-tying"),
        (LLAMA, {}, "torchrun"),
    ],
)
def test_a_rule_that_does_not_apply_says_nothing(base: tuple[str, ...], values: dict[str, Any], name: str) -> None:
    found = checks(changed(composed(*base), values)).get(f"torchtitan-{name}")
    assert found is None or found.status == "pass"


def test_another_version_is_worth_a_warning() -> None:
    found = checks(changed(composed(*LLAMA), {"framework.version": "0.2.2"}))["framework-version"]
    assert (found.status, found.limit) == ("warn", "0.3 to below 0.4")
