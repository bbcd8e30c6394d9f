"""framework=torchtitan: what it is started with, how it lays ranks out, and everything that it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.checks import Check
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.torchtitan import layout, stages
from compiler.passes import compile_config, lay_out
from compiler.specs.config import Config
from tests.configs import changed, composed

MOE = ("parallel=ep16_etp1_tp4_pp4_dp4", "framework=torchtitan", "workload=train")
LLAMA = ("model=llama3_1_8b", "parallel=tp4_pp2_cp2_adp4", "framework=torchtitan", "workload=train", "hardware.nodes=8")
DEEPSEEK = ("model=deepseek_v3", "parallel=ep8_etp1_tp2_pp4_adp8", "framework=torchtitan", "workload=train")
QWEN = ("model=qwen3_30b_a3b", "parallel=ep8_etp1_tp4_adp8", "framework=torchtitan", "workload=train")
GPT_OSS = ("model=gpt_oss_120b", "parallel=ep8_etp1_tp4_adp8", "framework=torchtitan", "workload=train")
REPLICATE = "--parallelism.data_parallel_replicate_degree"
TITAN = adapter("torchtitan")


def emitted(config: Config) -> tuple[str, ...]:
    return tuple(str(item) for item in TITAN.emission(lay_out(config)).arguments)


def checks(config: Config) -> dict[str, Check]:
    return {check.id: check for check in TITAN.declared(config)}


def test_the_strategy_is_refused_with_a_fix_that_works() -> None:
    strategy = ("framework=torchtitan", "workload=train")
    with pytest.raises(InvariantError, match=r"ep=16 and tp=4 experts have etp=1; the plan says etp=4") as error:
        compile_config(composed(*strategy))
    fixes = [problem.instead for problem in error.value.problems]
    assert fixes == ["write parallel.etp=1, which keeps all 1024 ranks"]
    plan = compile_config(composed(*strategy, "parallel.etp=1"))
    assert plan.world_size == 1024
    assert plan.groups["ep"][0].tolist() == list(range(16))
    assert plan.groups["edp"][0].tolist() == list(range(0, 256, 16))


def test_arguments_hold_degrees_batches_and_the_model() -> None:
    assert emitted(composed(*LLAMA)) == (
        "--module=llama3",
        "--config=llama3_8b",
        "--parallelism.data_parallel_replicate_degree=1",
        "--parallelism.data_parallel_shard_degree=4",
        "--parallelism.context_parallel_degree=2",
        "--parallelism.tensor_parallel_degree=4",
        "--parallelism.pipeline_parallel_degree=2",
        "--parallelism.expert_parallel_degree=1",
        "--parallelism.pipeline_parallel_microbatch_size=1",
        "--parallelism.pipeline_parallel_first_stage_less_layers=0",
        "--parallelism.pipeline_parallel_last_stage_less_layers=0",
        "--parallelism.pipeline_parallel_schedule=1F1B",
        "--parallelism.enable_sequence_parallel",
        "--training.global_batch_size=1024",
        "--training.local_batch_size=256",
        "--training.seq_len=4096",
        "--training.mixed_precision_param=bfloat16",
        "--training.disable_cuda_graphs",
        "activation_checkpoint:none",
    )
    emission = TITAN.emission(lay_out(composed(*LLAMA)))
    assert emission.program == ("python3", "-m", "torchtitan.train")
    assert (emission.unit, emission.others) == ("rank", None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"workload.zero_stage": 3}, "--parallelism.fsdp_reshard_after_forward=always"),
        ({"workload.zero_stage": 2}, "--parallelism.fsdp_reshard_after_forward=never"),
        ({"workload.distributed_optimizer": False}, "--parallelism.data_parallel_replicate_degree=4"),
        ({"workload.sequence_parallel": False}, "--parallelism.no_enable_sequence_parallel"),
        ({"workload.recompute": "full"}, "activation_checkpoint:full"),
        ({"parallel.vpp": 2}, "--parallelism.pipeline_parallel_schedule=Interleaved1F1B"),
        (
            {"parallel.vpp": 2, "workload.schedule": "zero_bubble"},
            "--parallelism.pipeline_parallel_schedule=InterleavedZeroBubble",
        ),
        ({"parallel.pp": 1, "workload.micro_batch_size": 2}, "--training.local_batch_size=2"),
        ({"workload.precision": "fp32"}, "--training.mixed_precision_param=float32"),
    ],
)
def test_each_choice_has_its_argument(values: dict[str, Any], expected: str) -> None:
    plain = emitted(composed(*LLAMA))
    arguments = emitted(changed(composed(*LLAMA), values))
    assert expected in arguments
    assert expected not in plain


@pytest.mark.parametrize(
    "spelt",
    [
        "--parallelism.tensor-parallel-degree=2",
        "--training.no_disable_cuda_graphs",
        "--parallelism.module-fqns-per-model-part=[]",
    ],
)
def test_an_argument_of_the_plan_is_not_the_users(spelt: str) -> None:
    with pytest.raises(ConfigError, match=spelt.split("=", maxsplit=1)[0]):
        emitted(changed(composed(*LLAMA), {"framework.args": [spelt]}))


def test_the_users_words_come_before_the_subcommand() -> None:
    words = ["--module", "mine", "--config=large", "--training.steps", "10"]
    arguments = emitted(changed(composed(*LLAMA), {"framework.args": words}))
    assert arguments[-6:] == (*words, "activation_checkpoint:none")
    assert arguments[0].startswith("--parallelism")
    own = [*words, "activation-checkpoint:memory-budget"]
    assert emitted(changed(composed(*LLAMA), {"framework.args": own}))[-6:] == tuple(own)


def test_replicas_of_the_arguments_shape_the_grid() -> None:
    config = changed(composed(*QWEN), {"framework.args": [REPLICATE, "2"]})
    world = lay_out(config)
    assert (layout.sharded(config), layout.expert_shards(config)) == (4, 2)
    assert world.groups["torchtitan.dp_replicate"][0].tolist() == [0, 16]
    assert world.groups["torchtitan.efsdp"].tolist()[:2] == [[0, 8], [1, 9]]
    assert world.groups["edp"].tolist()[0] == [0, 8, 16, 24]
    assert emitted(config).count(REPLICATE) == 1


@pytest.mark.parametrize(
    ("layers", "parts", "first", "last", "expected"),
    [
        (32, 3, 1, 1, [11, 11, 10]),
        (61, 4, 1, 1, [15, 16, 16, 14]),
        (10, 4, 0, 0, [3, 3, 2, 2]),
        (9, 2, 3, 1, [4, 5]),
        (3, 4, 1, 1, [1, 1, 1, 0]),
        (2, 8, 1, 1, None),
        (8, 3, 4, 1, [1, 4, 3]),
        (4, 3, 3, 1, None),
        (4, 1, 1, 1, None),
    ],
)
def test_the_first_and_last_stage_hold_less(
    layers: int, parts: int, first: int, last: int, expected: list[int] | None
) -> None:
    assert stages.split(layers, parts, first, last) == expected


def test_stages_that_the_rule_does_not_give_are_named() -> None:
    config = changed(composed(*QWEN), {"parallel.pp": 3, "parallel.stages": [15, 17, 16]})
    arguments = emitted(config)
    at = arguments.index("--parallelism.module_fqns_per_model_part")
    assert arguments[at + 1].startswith("tok_embeddings,layers.0,layers.1,")
    assert arguments[at + 3].endswith("layers.46,layers.47,norm,lm_head")
    assert arguments[at + 4] == "--parallelism.pipeline_parallel_schedule=1F1B"


def test_a_stage_is_uneven_by_its_rule_with_a_warning() -> None:
    plan = compile_config(changed(composed(*LLAMA), {"parallel.pp": 3, "hardware.nodes": 12}))
    assert plan.world.stages.labels == ("0-10", "11-21", "22-31")
    assert "stages-uneven" in {check.id for check in plan.checks if check.status == "warn"}


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
    import re

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


def test_no_rows_are_added_to_the_vocabulary() -> None:
    assert lay_out(changed(composed(*LLAMA), {"model.vocab_size": 128255})).padded_vocab_size == 128255


def test_another_version_is_worth_a_warning() -> None:
    found = checks(changed(composed(*LLAMA), {"framework.version": "0.2.2"}))["framework-version"]
    assert (found.status, found.limit) == ("warn", "0.3 to below 0.4")
