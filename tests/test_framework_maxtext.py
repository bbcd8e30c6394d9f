"""MaxText: where ranks and groups go, what is refused, and what it is started with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from compiler import compile_plan
from compiler.errors import ConfigError, InvariantError
from compiler.frameworks.adapter import adapter
from compiler.frameworks.emission import Computed
from compiler.frameworks.lay_out import lay_out
from compiler.frameworks.maxtext.emit import per_device
from compiler.schedulers.job import job
from tests.configs import changed, composed
from tests.maxtext_plans import TRAIN, arguments, checks
from tests.plans import SmallPlan


def test_the_strategy_is_a_mesh() -> None:
    plan = compile_plan([*TRAIN, "scheduler=[]"])
    groups = plan.groups
    assert groups["ep"][0].tolist() == list(range(16))
    assert groups["tp"][0].tolist() == groups["etp"][0].tolist() == [0, 16, 32, 48]
    assert groups["edp"][0].tolist() == groups["maxtext.data"][0].tolist() == [0, 64, 128, 192]
    assert groups["pp"][0].tolist() == [0, 256, 512, 768]
    assert groups["dp"][0].tolist() == [rank + 64 * copy for copy in range(4) for rank in range(16)]
    assert plan.rank_map["dp"][64 + 5] == 16 + 5  # the expert axis is the faster part of attention DP


@pytest.mark.parametrize(("zero", "axis"), [(3, "fsdp"), (1, "data")])
def test_replicas_are_fsdp_with_zero_3(zero: int, axis: str) -> None:
    plan = compile_plan([*TRAIN, "scheduler=[]", f"workload.zero_stage={zero}"])
    assert f"maxtext.{axis}" in plan.groups
    assert arguments(f"workload.zero_stage={zero}")[f"ici_{axis}_parallelism"] == "4"


HYBRID = ["dcn_data_parallelism=2", "ici_fsdp_parallelism=2"]


@pytest.mark.parametrize(
    "args", [HYBRID, HYBRID[:1], HYBRID[1:], ["ici_data_parallelism=2", "ici_fsdp_parallelism=-1"]]
)
def test_parameters_are_cut_within_nodes_and_copied_between_them(args: list[str]) -> None:
    config = changed(composed(*TRAIN), {"workload.zero_stage": 3, "framework.args": args})
    world = lay_out(config)
    assert world.groups["maxtext.fsdp"][0].tolist() == [0, 64]
    assert world.groups["maxtext.data"][0].tolist() == [0, 128]
    words = [str(word) for word in adapter("maxtext").emission(world).arguments]
    assert [word for word in words if "_data_" in word or "_fsdp_p" in word] == [
        *("ici_data_parallelism=2", "ici_fsdp_parallelism=2", "dcn_data_parallelism=1")
    ]
    found = checks({"workload.zero_stage": 3, "framework.args": args})
    assert {found[name].status for name in ("maxtext-shards", "maxtext-shards-stage")} == {"pass"}


def test_copies_cost_memory() -> None:
    plan = [*TRAIN, "scheduler=[]", "workload.zero_stage=3"]
    cut, copied = (compile_plan([*plan, f"framework.args={args}"]).to_dict()["memory"] for args in ([], HYBRID))
    assert copied["optimizer_bytes"] == 2 * cut["optimizer_bytes"]


def test_copies_and_shards_that_do_not_fit() -> None:
    found = checks({"framework.args": ["dcn_data_parallelism=3", "ici_fsdp_parallelism=2"]})
    assert "data=3 * fsdp=2" in found["maxtext-shards"].message
    assert found["maxtext-shards"].fix == "write ici_data_parallelism=2, or leave it out"
    assert found["maxtext-shards-stage"].fix == "write workload.zero_stage=3"


def test_a_dense_model_has_no_experts_to_cut() -> None:
    world = lay_out(composed(*TRAIN, "model=llama3_1_8b", "parallel=tp4_cp2_pp2_dp2", "hardware.nodes=4"))
    assert world.expert.size("edp") == 16
    assert np.array_equal(np.sort(world.groups["tp"].ravel()), np.arange(32))


RULES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"parallel.dp": None, "parallel.adp": 8}, "maxtext-expert-axis", "fail", "adp=8 with ep=16"),
    ({"parallel.etp": 1}, "maxtext-expert-tensor", "fail", "etp=1 with tp=4"),
    ({"parallel.stages": [5, 3, 4, 4]}, "maxtext-stages", "fail", "the same number of layers"),
    ({"model.first_k_dense_replace": 1}, "maxtext-dense-layers", "fail", "out of the pipeline"),
    ({"model.moe_layer_freq": 2}, "maxtext-moe-layers", "fail", "in 8 of 16 layers"),
    (
        {"model.shared_expert_intermediate_size": 1000},
        "maxtext-shared-experts",
        "fail",
        "as wide as routed ones (2048)",
    ),
    ({"model.num_shared_experts": 1}, "maxtext-decoder-block", "warn", "latent attention"),
    ({"workload.global_batch_size": 64 * 6}, "maxtext-micro-batches", "fail", "num_pipeline_microbatches=6"),
    ({"workload.schedule": "zero_bubble"}, "maxtext-schedule", "fail", "no zero_bubble"),
    ({"workload.precision": "fp4"}, "maxtext-precision", "fail", "fp32, bf16, fp16 or fp8"),
    ({"workload.precision": "mxfp8"}, "maxtext-precision", "fail", "workload.precision is mxfp8"),
    (
        {"parallel.pp": 1, "workload.precision": "fp8"},
        "maxtext-fp8-accumulation",
        "fail",
        "gradient_accumulation_steps=16",
    ),
    ({"parallel.pp": 1}, "maxtext-fractional-batch", "warn", "trains on 25%"),
    ({"parallel.order": "tp-cp-ep-pp-dp"}, "maxtext-order", "fail", "mesh_axes"),
    ({"framework.expert_layout": "round_robin"}, "maxtext-expert-layout", "fail", "in runs"),
    ({"model.vocab_size": 32001}, "maxtext-vocab-size", "fail", "vocab_size=32001 over tp=4"),
    ({"model.hidden_size": 1032}, "maxtext-hidden-size", "fail", "hidden_size=1032"),
    ({"model.num_key_value_heads": 2}, "maxtext-kv-heads", "fail", "num_key_value_heads=2 over tp=4"),
    ({"launch.unit": "rank"}, "maxtext-unit", "fail", "one process a node"),
    ({"model.gated_mlp": False}, "maxtext-gated-experts", "warn", "half as large again"),
    ({"launch.environment": {"M_VOCAB_SIZE": "1"}}, "maxtext-environment", "fail", "M_VOCAB_SIZE"),
    ({"framework.args": ["ici_sequence_parallelism=2"]}, "maxtext-sequence-axis", "fail", "dropped without a word"),
    ({"workload.kind": "serve", "workload.sequence_lengths": [128]}, "maxtext-serving", "warn", "made for training"),
    ({"framework.version": "9.9"}, "framework-version", "warn", "9.9"),
    (
        {"workload.global_batch_size": 64 * 4, "framework.args": ["pipeline_delay_activation_forwarding=True"]},
        "maxtext-delay",
        "fail",
        "2*4 micro-batches or more, and there are 4",
    ),
    (
        {"parallel.cp": 2, "framework.args": ["context_parallel_strategy=ulysses"]},
        "maxtext-context-strategy",
        "fail",
        "on TPUs only",
    ),
]


@pytest.mark.parametrize(("values", "name", "status", "text"), RULES, ids=[rule[1] for rule in RULES])
def test_a_rule_speaks_up(values: dict[str, Any], name: str, status: str, text: str) -> None:
    found = checks(values)[name]
    assert (found.status, found.fix != "") == (status, True)
    assert text in found.message


def test_no_rule_speaks_up_without_need() -> None:
    found = checks({"model.gated_mlp": True, "parallel.vpp": 2, "workload.schedule": "interleaved"})
    assert {name for name, check in found.items() if "maxtext" in name and check.status != "pass"} == set()
    asked = {"maxtext-fp8-accumulation", "maxtext-delay", "maxtext-context-strategy"}  # of what this plan does not have
    assert {rule[1] for rule in RULES if rule[1].startswith("maxtext")} - set(found) <= asked


def test_a_delay_and_a_ring_that_fit() -> None:
    args = ["pipeline_delay_activation_forwarding=true", "context_parallel_strategy=ring"]
    found = checks({"parallel.cp": 2, "framework.args": args})
    assert {found[f"maxtext-{name}"].status for name in ("delay", "context-strategy")} == {"pass"}


@pytest.mark.parametrize("values", [{"parallel.etp": 1}, {"parallel.dp": None, "parallel.adp": 8}])
def test_a_fix_works(values: dict[str, Any]) -> None:
    broken = checks(values)
    fix = next(
        check.fix for check in broken.values() if check.status == "fail" and check.id.startswith("maxtext-expert")
    )
    override = fix.removeprefix("write ")
    nodes = composed(*TRAIN, override).degrees.world_size // 8
    assert compile_plan([*TRAIN, override, f"hardware.nodes={nodes}", "scheduler=[]"]).world_size == nodes * 8


def test_a_refused_plan_lists_what_is_wrong() -> None:
    with pytest.raises(InvariantError, match=r"maxtext-expert-tensor: MaxText 0\.2\.5 cuts experts by the tensor axis"):
        compile_plan([*TRAIN, "scheduler=[]", "parallel=ep16_tp4_etp1_pp4_dp4"])


def test_arguments_hold_degrees_model_and_batch() -> None:
    found = arguments()
    wanted = {
        "hardware": "gpu", "num_slices": "1", "ici_pipeline_parallelism": "4", "ici_data_parallelism": "4",
        "ici_tensor_parallelism": "4", "ici_expert_parallelism": "16", "ici_fsdp_parallelism": "1",
        "num_pipeline_microbatches": "16", "num_layers_per_pipeline_stage": "4", "per_device_batch_size": "1.0",
        "max_target_length": "4096", "base_emb_dim": "1024", "num_experts": "64", "base_moe_mlp_dim": "2048",
        "mlp_activations": "[gelu]", "remat_policy": "minimal_with_context", "shard_optimizer_over_data": "true",
    }  # fmt: skip
    assert {key: found[key] for key in wanted} == wanted


def test_mla_and_shared_experts_are_deepseek() -> None:
    found = arguments("model=deepseek_v3", "parallel=ep16_tp8_dp8", "hardware.nodes=128")
    wanted = {
        "decoder_block": "deepseek",
        "attention_type": "mla",
        "first_num_dense_layers": "3",
        "shared_experts": "1",
    }
    assert {key: found[key] for key in wanted} == wanted
    assert found["kv_lora_rank"] == "512"
    assert arguments("model=gpt_oss_120b", "parallel=ep8_dp2", "hardware.nodes=2")["decoder_block"] == "gpt_oss"


@pytest.mark.parametrize(("sequences", "devices"), [(5, 49), (1, 49), (7, 1000), (1024, 1024), (64, 1536)])
def test_a_share_of_the_batch_gives_the_batch_back(sequences: int, devices: int) -> None:
    assert int(devices * float(str(per_device(sequences, devices)))) == sequences
    assert math.isclose(per_device(sequences, devices), sequences / devices)


@pytest.mark.parametrize(
    "word",
    [
        "ici_tensor_parallelism=2",
        "dcn_tensor_parallelism=2",
        "mesh_axes=[data]",
        "vocab_size=1",
        "num_pipeline_repeats=2",
    ],
)
def test_a_word_that_would_change_the_plan_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"framework.args sets {word.split('=', maxsplit=1)[0]}"):
        arguments(f"framework.args=['{word}']")


def test_the_users_words_follow_and_name_the_block() -> None:
    found = arguments("framework.args=['decoder_block=qwen3_moe','run_name=a']")
    assert (found["decoder_block"], found["run_name"]) == ("qwen3_moe", "a")


def test_a_process_a_node_finds_the_first_by_name() -> None:
    config = composed(*TRAIN, "scheduler=slurm")
    made = job(SmallPlan("small", lay_out(config)))
    assert (made.unit, made.tasks, dict(made.environment)["NNODES"]) == ("node", 128, "128")
    assert made.computed == (
        ("JAX_COORDINATOR_IP", Computed("{MASTER_HOST}")),
        ("JAX_COORDINATOR_PORT", Computed("{MASTER_PORT}")),
    )
    assert made.command[:4] == ("python3", "-m", "maxtext.trainers.pre_train.train", "src/maxtext/configs/base.yml")
    old = lay_out(composed(*TRAIN, "framework.version=0.2.0"))
    assert adapter("maxtext").emission(old).program[3] == "maxtext/configs/base.yml"


def test_kernels_of_gpus_are_the_users_to_change() -> None:
    found = arguments("model=mixtral_8x7b", "parallel=ep8_dp2", "hardware.nodes=2")
    kept = {"attention": "cudnn_flash_te", "megablox": "false", "max_segments_per_seq": "32"}
    assert {key: found[key] for key in kept} == kept
    args = "framework.args=['megablox=true','attention=flash','rope_max_timescale=5']"
    changed_ = arguments("model=mixtral_8x7b", "parallel=ep8_dp2", "hardware.nodes=2", args)
    assert (changed_["megablox"], changed_["attention"], changed_["rope_max_timescale"]) == ("true", "flash", "5")


def test_serving_starts_the_decoder() -> None:
    emission = adapter("maxtext").emission(lay_out(composed("framework=maxtext")))
    assert emission.program[2] == "maxtext.inference.decode"
    assert "max_prefill_predict_length=10240" in emission.arguments
